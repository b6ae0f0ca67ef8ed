"""Settings of the reconstruction, for Python, the command line and the node alike."""

from __future__ import annotations

from dataclasses import dataclass

from ttt3r_ros.devices import INT8, PRECISIONS
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.settings import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class ReconstructorConfig:
    """Settings of the reconstruction itself; each becomes one ROS parameter."""

    weights: str = setting(
        '', 'Weights file (.pth, .safetensors); empty: the shipped small model.'
    )
    preset: str = setting(
        '', 'Sizes of the network; empty: as the weights file says.', choices=('', *PRESETS)
    )
    device: str = setting('auto', 'auto, cpu, cuda or cuda:N.')
    precision: str = setting(
        'auto',
        'Number format of the network; int8 (CPU): of its large matrices, the rest as auto; '
        'bfloat16: of CUT3R’s networks only their matrices, where a CPU computes faster in '
        'float32; auto: float32 on a CPU, but bfloat16 for CUT3R’s networks where it has AMX; on '
        'a GPU bfloat16 or float16.',
        choices=('auto', *PRECISIONS, INT8),
    )
    threads: int = setting(
        0,
        'Threads of the processor for the network, in the whole process; 0: one for a small '
        'network, else as many as PyTorch takes by itself.',
        ge=0,
    )
    cuda_graphs: bool = setting(
        True, 'On a GPU: replay the network as a CUDA graph, whose many operations are one call.'
    )
    torchscript: bool = setting(
        True,
        'On a processor: replay a small network as a TorchScript trace, whose operations are '
        'called without Python.',
    )
    world_head: bool = setting(
        False, 'Load the head for points in the world frame, if the weights have one.'
    )
    update_rule: str = setting(
        'ttt3r', 'How a frame changes the state.', choices=tuple(UPDATE_RULES), runtime=True
    )
    pose_source: str = setting(
        'auto',
        'Pose regressed by the network, or solved from its points (pnp); '
        'auto: pnp for the shipped small model, network for CUT3R’s.',
        choices=('auto', 'network', 'pnp'),
    )
    reset_interval: int = setting(
        0, 'Frames between state resets; 0 never resets.', ge=0, runtime=True
    )
    fit: str = setting(
        'crop',
        'How an image is brought to whole patches: cropped, or stretched.',
        choices=('crop', 'stretch'),
    )
    upright: str = setting(
        'auto',
        'Turn the images of a rolled camera upright before the network sees them; auto: on for '
        'the shipped small model with poses by pnp, else off.',
        choices=('auto', 'on', 'off'),
    )
    align_depth: bool = setting(
        True,
        'Correct the depth of each frame by the tracked landmarks: its scale, and a smooth field '
        '(pose source pnp).',
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.reset_interval == 1:
            raise ValueError(
                'reset_interval is 1; the state would start anew with every image; 0 never resets'
            )
