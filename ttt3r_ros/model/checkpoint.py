"""
Weights from and to files.

Reads the public CUT3R checkpoints (a pickle with `model` and `args`) and safetensors; nothing in
a file is ever executed. The network's parameters carry the public names, so this is all it takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
import json
import os
from pathlib import Path
import pickle
import re
from typing import Any
import zipfile

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
import torch
from torch import Tensor

from ttt3r_ros.errors import CheckpointError
from ttt3r_ros.files import atomic_file, user_path
from ttt3r_ros.model.config import PRESETS, NetworkConfig
from ttt3r_ros.model.lean import page_out
from ttt3r_ros.model.network import Network

SHIPPED_WEIGHTS = Path(__file__).parents[1] / 'weights' / 'small.safetensors'

# read by no network that starts from images: CUT3R's input of known cameras, and training masks
_UNUSED = (
    'enc_blocks_ray_map.',
    'patch_embed_ray_map.',
    'enc_norm_ray_map.',
    'masked_img_token',
    'masked_ray_map_token',
)
_OPTIONAL = {
    'world_head': re.compile(r'downstream_head\.(dpt_cross|cross_proj|final_transform)\.'),
    'rgb_head': re.compile(r'downstream_head\.(dpt_rgb|rgb_proj)\.'),
}
_ALIAS = re.compile(r'(.*\.scratch)\.layer([1-4])_rn\.weight')
_ASKED = re.compile(r'GLOBAL (\S+)')  # what PyTorch names of a pickle that it refuses
_SHOWN = 3  # names listed of each kind of mismatch


def load_network(
    path: Path | str, *, preset: str = '', outputs: frozenset[str] | None = None
) -> Network:
    """
    Build the network that a weights file was made for, and load it.

    :param path: `.pth` or `.safetensors`
    :param preset: one of `PRESETS`; by default the file's own description, or its names, decide
    :param outputs: load only the heads for these of 'world' and 'colors', and leave the others'
        memory free; by default all heads of the file
    :raises CheckpointError: file missing, truncated, unsafe, or made for another network
    :raises ValueError: unknown preset
    """
    path = user_path(path)
    tensors, described = read_tensors(path)
    config = _choose_config(path, tensors, described, preset)
    if outputs is not None:
        config = replace(
            config,
            world_head=config.world_head and 'world' in outputs,
            rgb_head=config.rgb_head and 'colors' in outputs,
        )
    # built without memory; the file's tensors then become the parameters
    with torch.device('meta'):
        network = Network(config)
    tensors = select_tensors(tensors, config)
    _check_names(path, tensors, network.state_dict())
    _check_values(path, tensors)
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], NetworkConfig | None]:
    """
    Read all tensors of a weights file, without the `module.` prefix of parallel training.

    :return: tensors by name, and the network's sizes where the file tells them
    :raises CheckpointError: file missing, truncated or unsafe
    """
    if not path.is_file():
        raise CheckpointError(f'{path}: no such weights file')
    try:
        if path.suffix == '.safetensors':
            return _read_safetensors(path)
        return _read_pickle(path), None
    except OSError as error:
        raise CheckpointError(f'{path}: cannot be read: {error.strerror or error}') from error


def read_metadata(path: Path) -> dict[str, str]:
    """
    Return the text that a safetensors file holds beside its tensors.

    :raises CheckpointError: if the file cannot be read
    """
    try:
        with safe_open(path, framework='pt') as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f'{path}: cannot be read as safetensors: {error}') from error


def save_safetensors(
    path: Path | str,
    tensors: Mapping[str, Tensor],
    config: NetworkConfig,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """
    Write weights with a description of their network, all or nothing.

    :param tensors: parameters by name, in the type in which they are to be stored
    :param metadata: further text to keep in the file, such as how it was trained
    """
    described = {'config': json.dumps(asdict(config)), **(metadata or {})}
    with atomic_file(Path(path)) as file:
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, file.name, described)
        # it puts another file there, for its owner alone and perhaps not on the disk yet
        with Path(file.name).open('rb') as written:
            Path(file.name).chmod(os.fstat(file.fileno()).st_mode)
            os.fsync(written.fileno())


def convert_checkpoint(source: Path | str, target: Path | str, *, preset: str = '') -> None:
    """
    Rewrite a weights file as safetensors, checked against its network, unused tensors left out.

    :raises CheckpointError: see `load_network`
    """
    network = load_network(source, preset=preset)
    save_safetensors(target, network.state_dict(), network.config)


def select_tensors(tensors: Mapping[str, Tensor], config: NetworkConfig) -> dict[str, Tensor]:
    """
    Leave out what the network does not use, and resolve the names that mean the same tensor.

    The DPT head's `scratch.layerN_rn` and `scratch.layer_rn.(N-1)` are one tensor; where a file
    holds both, the second is in force.
    """
    selected: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        alias = _ALIAS.fullmatch(name)
        target = f'{alias[1]}.layer_rn.{int(alias[2]) - 1}.weight' if alias else name
        shadowed = target != name and target in tensors
        if not shadowed and not name.startswith(_UNUSED) and not _is_dropped(name, config):
            selected[target] = tensor.float() if tensor.is_floating_point() else tensor
    return selected


def _is_dropped(name: str, config: NetworkConfig) -> bool:
    return any(
        not getattr(config, field) and pattern.match(name) for field, pattern in _OPTIONAL.items()
    )


def _choose_config(
    path: Path, tensors: Mapping[str, Tensor], described: NetworkConfig | None, preset: str
) -> NetworkConfig:
    if preset:
        if preset not in PRESETS:
            raise ValueError(f'preset is {preset!r}; choose one of {", ".join(PRESETS)}')
        return PRESETS[preset]
    if described:
        return described
    if any(name.startswith('downstream_head.dpt_self.') for name in tensors):
        return PRESETS['cut3r_512_dpt']
    if 'downstream_head.proj.fc1.weight' in tensors:
        return PRESETS['cut3r_224_linear']
    raise CheckpointError(f'{path}: these are not the weights of a CUT3R network')


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], NetworkConfig | None]:
    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f'{path}: truncated, or not safetensors: {error}') from error
    tensors = _without_prefix(path, stored)
    if 'config' not in metadata:
        return tensors, None
    try:
        fields = json.loads(metadata['config'])
        fields['dpt_widths'] = tuple(fields['dpt_widths'])
        return tensors, NetworkConfig(**fields)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise CheckpointError(f'{path}: bad description of the network: {error}') from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(
                path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        asked = _ASKED.search(str(error))
        more = f' ({asked[1]})' if asked else ''
        raise CheckpointError(
            f'{path}: refused: truncated, or it asks for more than tensors{more}'
        ) from error
    except OSError:
        raise
    except Exception as error:
        # Of a damaged pickle the reader raises whatever the bytes lead to.
        advice = 'weights_only' in str(error)  # how to run whatever is in the file
        reason = '' if advice else f': {error}'
        raise CheckpointError(f'{path}: truncated, or not a checkpoint{reason}') from error
    return _model_of(path, content)


def _model_of(path: Path, content: Any) -> dict[str, Tensor]:
    """Return the tensors of a loaded pickle: under `model`, or the whole of it."""
    if isinstance(content, dict) and isinstance(content.get('model'), dict):
        content = content['model']
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(f'{path}: holds no dictionary of tensors')
    return _without_prefix(path, content)


def _without_prefix(path: Path, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {name.removeprefix('module.'): tensor for name, tensor in stored.items()}
    if len(tensors) < len(stored):
        raise CheckpointError(f'{path}: holds tensors with and without the prefix module.')
    return tensors


def _check_values(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse what is no number that can be computed with."""
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta:
            raise CheckpointError(f'{path}: {name} is sparse, or without values')
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise CheckpointError(f'{path}: {name} holds NaN, infinity, or no real numbers')
        page_out(tensor)  # or all of a large file would be in memory at once


def _check_names(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Compare names and shapes, and list what differs."""
    shapes = [
        f'{name} {list(found[name].shape)} instead of {list(wanted[name].shape)}'
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    problems = [
        f'{kind} {", ".join(names[:_SHOWN])}'
        + (f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else '')
        for kind, names in (
            ('missing', sorted(wanted.keys() - found.keys())),
            ('unexpected', sorted(found.keys() - wanted.keys())),
            ('wrong shape', shapes),
        )
        if names
    ]
    if problems:
        raise CheckpointError(f'{path}: made for another network: {"; ".join(problems)}')
