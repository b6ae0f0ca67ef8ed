"""The parts of one image's way through the reconstruction, each to be called by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ttt3r_ros.geometry.camera import focal_from_corner, focal_from_points
from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.decoder import decode
from ttt3r_ros.model.heads import Tokens
from ttt3r_ros.model.network import Network, Prediction, State
from ttt3r_ros.model.ready import fast_calls
from ttt3r_ros.model.replay import Replayed
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.preprocess import plan_fit

Stages = dict[str, Callable[[], object]]

_STEPS_UNTIL_REPLAYED = 5  # one of a first image, two as they come, one captured, one compared


@dataclass
class Stream:
    """
    A network in the midst of a sequence of noise images.

    :param network: ready to run
    :param images: of one size, in [-1, 1] [T, B, 3, H, W]
    :param rule: one of `UPDATE_RULES`
    :param precision: that the network was made ready for
    :param replay: call it as the reconstructor does, by CUDA graphs or traces where they serve
    """

    network: Network
    images: Tensor
    rule: str = 'ttt3r'
    precision: str = 'float32'
    replay: bool = False

    @torch.inference_mode()
    def __post_init__(self) -> None:
        on, device = self.replay, self.images.device
        self._calls = fast_calls(self.network, self.precision, device, graphs=on, traces=on)
        self._state = self.network.initial_state(self.images.shape[1])
        for _ in range(_STEPS_UNTIL_REPLAYED if on else 1):
            self.step()

    @property
    def is_replayed(self) -> bool:
        """Whether anything is replayed; where no graph or trace serves, nothing is."""
        return isinstance(self._calls.decode, Replayed)

    @torch.inference_mode()
    def step(self) -> Prediction:
        """Read the next image; after the last comes the first."""
        self.images = self.images.roll(-1, 0)
        encoded = self._calls.encode(self.images[0])
        rule = UPDATE_RULES[self.rule]
        prediction, self._state = self._calls.decode(encoded, self._state, rule)
        return prediction

    @property
    def state(self) -> State:
        """What is carried on."""
        return self._state


def noise_images(
    config: NetworkConfig, device: torch.device, dtype: torch.dtype, batch: int = 1
) -> Tensor:
    """Return three images as a camera of 640 x 480 gives them, in the network's range."""
    mapping = plan_fit(640, 480, config).enlarged(config.detail)
    random = np.random.default_rng(0)
    shape = (3, batch, 3, mapping.height, mapping.width)
    pixels = random.uniform(-1, 1, shape).astype(np.float32)
    return torch.from_numpy(pixels).to(device, dtype)


def network_stages(stream: Stream) -> Stages:
    """Return the network's own parts, with inputs as they are in the midst of a sequence."""
    network, state, image = stream.network, stream.state, stream.images[0]
    with torch.inference_mode():
        encoded = network.encode(image)
        prediction = stream.step()
        embedded = network.decoder_embed(encoded.tokens)
        query = encoded.tokens.mean(dim=1, keepdim=True)
        pose = network.pose_retriever.read(query, state.memory)
        layers = network.decoder_layers(encoded.grid, image.device)
    both = torch.cat([pose, embedded], dim=1)
    tokens = Tokens([encoded.tokens, *[embedded] * 3], both[:, :1], encoded.fine, encoded.grid)
    pinhole = network.config.points == 'pinhole'

    def decoder() -> object:
        return decode(
            both,
            state.tokens,
            layers,
            network.levels,
            frozenset({'mean_logit'}),
        )

    def memory() -> object:
        network.pose_retriever.read(query, state.memory)
        return network.pose_retriever.write(query, both[:, :1], state.memory)

    stages: Stages = {
        'encode': lambda: network.encode(image),
        'decode': decoder,
        'memory': memory,
        'head': lambda: network.downstream_head.camera_points(tokens),
        'pose': lambda: network.downstream_head.pose_head(tokens.pose),
        'focal': lambda: (focal_from_corner if pinhole else focal_from_points)(prediction.points),
        'network step': stream.step,
    }
    if image.is_cuda or not network.config.is_wide:
        replayed = replace(stream, replay=True)
        if replayed.is_replayed:
            stages['network step, replayed'] = replayed.step
    return {name: torch.inference_mode()(work) for name, work in stages.items()}
