"""Sizes of the network, and the named presets."""

from __future__ import annotations

from dataclasses import dataclass

_NARROW = 256  # widest tokens of a network that is mostly calls


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """
    Everything that shapes the network; the defaults are CUT3R's 512 DPT model.

    :param image_size: pixels of the long side (`fit` long) or of both sides (`fit` square)
    :param fit: long: scale the long side, crop to patches; square: scale the short side, crop
    :param resample: antialiased filter for shrinking: lanczos, or area for small networks
    :param patch_size: pixels per token side; a multiple of 8 with the DPT head
    :param stem: how patches become tokens: one convolution (patch), a stack of four (conv), or
        pretrained ones, which read an image of twice the size (mobile)
    :param stem_width: channels of the stem's finest map; the next has twice as many (conv, mobile)
    :param dpt_widths: channels of the DPT head's four levels, fine to coarse
    :param dpt_features: channels in which the levels are fused
    :param dpt_head_width: channels at full resolution
    :param points: what the head says of a pixel: a free vector, or its depth along the ray of one
        pinhole camera (pinhole; DPT only)
    :param world_head: whether points in the world frame can be asked for
    :param rgb_head: whether the image's own colours can be asked for
    :param motion_radius: half width of the search for the previous frame's pixels, in half
        resolution pixels; 0 leaves the correlation with the previous frame out
    :param motion_width: hidden channels of the correlation
    :param motion_alignment: align the image with the previous one, and let the pose head correct
        the motion that this gives; needs pinhole points
    """

    image_size: int = 512
    fit: str = 'long'
    resample: str = 'lanczos'
    patch_size: int = 16
    stem: str = 'patch'
    stem_width: int = 32
    encoder_width: int = 1024
    encoder_depth: int = 24
    encoder_heads: int = 16
    decoder_width: int = 768
    decoder_depth: int = 12
    decoder_heads: int = 12
    state_heads: int = 16
    state_tokens: int = 768
    memory_slots: int = 256
    memory_depth: int = 2
    head: str = 'dpt'
    dpt_widths: tuple[int, int, int, int] = (96, 192, 384, 768)
    dpt_features: int = 256
    dpt_head_width: int = 128
    points: str = 'free'
    world_head: bool = True
    rgb_head: bool = True
    motion_radius: int = 0
    motion_width: int = 96
    motion_alignment: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f'{name} is {getattr(self, name)!r}; choose one of {choices}')
        self._check_sizes()
        self._check_heads()
        patch = self.patch_size
        for wrong, reason in (
            (self.image_size % patch, f'image_size {self.image_size} must be whole patches'),
            (
                self.head == 'dpt' and patch % 8,
                f'patch_size {patch} must be a multiple of 8 (DPT)',
            ),
            (
                self.stem != 'patch' and patch != 8,
                f'the {self.stem} stem has patches of 8, not {patch}',
            ),
            (
                self.head == 'dpt' and self.decoder_depth < 2,
                f'decoder_depth {self.decoder_depth} must be at least 2 (DPT)',
            ),
            (self.motion_radius and patch != 8, f'motion needs patches of 8, not {patch}'),
            (self.points == 'pinhole' and self.head != 'dpt', 'pinhole points need the DPT head'),
            (
                self.motion_alignment and not (self.motion_radius and self.points == 'pinhole'),
                'motion_alignment needs motion_radius and pinhole points',
            ),
        ):
            if wrong:
                raise ValueError(reason)

    @property
    def is_wide(self) -> bool:
        """Whether products of matrices take most of the time, and not calling operations."""
        return max(self.encoder_width, self.decoder_width) > _NARROW

    @property
    def detail(self) -> int:
        """How many times as many pixels a side the stem reads as the network works on."""
        return 2 if self.stem == 'mobile' else 1

    def _check_sizes(self) -> None:
        """Refuse what nobody trains, before a file's own description costs time or memory."""
        for name, value in vars(self).items():
            if type(value) is not type(getattr(NetworkConfig, name)):
                raise ValueError(f'{name} is {value!r}, of the wrong type')
            values = value if isinstance(value, tuple) else (value,)
            if name == 'dpt_widths' and len(values) != 4:
                raise ValueError(f'dpt_widths are {values}; four are needed')
            largest = _DEEPEST if name.endswith('_depth') else _LARGEST
            least = 0 if name == 'motion_radius' else 1
            for number in values:
                if type(number) not in (int, bool, str):
                    raise ValueError(f'{name} is {value!r}, of the wrong type')
                if type(number) is int and not least <= number <= largest:
                    raise ValueError(f'{name} is {number}; it must be {least} to {largest}')

    def _check_heads(self) -> None:
        for width, heads, name in (
            (self.encoder_width, self.encoder_heads, 'encoder'),
            (self.decoder_width, self.decoder_heads, 'decoder'),
            (self.decoder_width, self.state_heads, 'state'),
        ):
            if width % (4 * heads):
                raise ValueError(f'{name} width {width} must be a multiple of 4 x {heads} heads')


_LARGEST = 16384
_DEEPEST = 256  # layers

_CHOICES = {
    'fit': ('long', 'square'),
    'resample': ('lanczos', 'area'),
    'stem': ('patch', 'conv', 'mobile'),
    'head': ('dpt', 'linear'),
    'points': ('free', 'pinhole'),
}

_GOLDEN = {
    'encoder_width': 128,
    'encoder_depth': 3,
    'encoder_heads': 8,
    'decoder_width': 96,
    'decoder_depth': 4,
    'decoder_heads': 6,
    'state_heads': 4,
    'state_tokens': 30,
    'memory_slots': 16,
}

_SMALL = {
    'image_size': 64,
    'resample': 'area',
    'patch_size': 8,
    'stem': 'mobile',
    'stem_width': 24,
    'encoder_width': 128,
    'encoder_depth': 1,
    'encoder_heads': 4,
    'decoder_width': 128,
    'decoder_depth': 3,
    'decoder_heads': 4,
    'state_heads': 4,
    'state_tokens': 48,
    'memory_slots': 8,
    'memory_depth': 1,
    'dpt_widths': (24, 32, 48, 64),
    'dpt_features': 24,
    'dpt_head_width': 16,
    'points': 'pinhole',
    'world_head': False,
    'rgb_head': False,
    'motion_radius': 4,
    'motion_width': 64,
    'motion_alignment': True,
}

PRESETS: dict[str, NetworkConfig] = {
    'cut3r_512_dpt': NetworkConfig(),
    'cut3r_224_linear': NetworkConfig(head='linear', image_size=224, fit='square'),
    'golden_small': NetworkConfig(**_GOLDEN),  # type: ignore[arg-type]
    'golden_small_linear': NetworkConfig(**_GOLDEN, head='linear'),  # type: ignore[arg-type]
    'small': NetworkConfig(**_SMALL),  # type: ignore[arg-type]
}
