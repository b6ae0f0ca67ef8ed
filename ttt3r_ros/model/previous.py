"""
The previous frame, as far as a small network compares the next one with it.

Sizes: B batch, H and W pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ttt3r_ros.geometry.quaternion import compose
from ttt3r_ros.model.alignment import Alignment, Reference, align

Motion = tuple[Tensor, Tensor]
"""Translation in metres [B, 3], and unit quaternion (w, x, y, z) [B, 4]."""


class Previous(NamedTuple):
    """What is carried on to compare the next frame with."""

    appearance: Tensor  # [B, 1, H/2, W/2]
    translation: Tensor  # of its pose, metres [B, 3]
    quat_wxyz: Tensor  # of its pose [B, 4]
    reference: Reference | None = None  # only with `motion_alignment`


def to_compare(seen: Tensor, previous: Previous | None, first: Tensor) -> Previous:
    """
    Return what to compare an image with; before the first frame, the image itself at rest.

    :param seen: the image's appearance [B, 1, H/2, W/2]
    :param first: true for first frames [B]
    """
    origin = torch.zeros(seen.shape[0], 3, device=seen.device)
    rest = torch.eye(1, 4, device=seen.device).expand(seen.shape[0], -1)
    if previous is None:
        return Previous(seen, origin, rest)
    before, translation, quat, reference = previous
    same = before.shape == seen.shape
    return Previous(
        before if same else seen,
        torch.where(first[:, None], origin, translation),
        torch.where(first[:, None], rest, quat),
        reference if same else None,
    )


def align_with(
    levels: tuple[Tensor, ...], previous: Previous | None, first: Tensor
) -> Alignment | None:
    """
    Align an image with the previous one, if there is one of its size; a first one rests.

    :param levels: of the image, from `pyramid`
    :param first: true for first frames [B]
    """
    if previous is None or previous.reference is None:
        return None
    aligned = align(levels, previous.reference)
    rest = torch.eye(1, 4, device=first.device)
    return aligned._replace(
        translation=torch.where(first[:, None], 0.0, aligned.translation),
        quat_wxyz=torch.where(first[:, None], rest, aligned.quat_wxyz),
    )


def go_on(said: Motion, aligned: Alignment | None, previous: Previous) -> Motion:
    """
    Go on from the previous pose.

    :param said: by the pose head: the motion since the previous frame; with alignment, what is
        missing of what that found
    """
    motion = said
    if aligned is not None:
        motion = compose(aligned.translation, aligned.quat_wxyz, said)
    return compose(previous.translation, previous.quat_wxyz, motion)


def select(old: Previous | None, new: Previous, update: Tensor | None) -> Previous:
    """Take the new frame where an update is allowed, and keep the old one elsewhere [B]."""
    if update is None or old is None or old.appearance.shape != new.appearance.shape:
        return new
    reference = new.reference
    if old.reference is not None and new.reference is not None:
        pairs = zip(new.reference, old.reference, strict=True)
        reference = Reference(*(where_allowed(update, after, before) for after, before in pairs))
    return Previous(
        where_allowed(update, new.appearance, old.appearance),
        where_allowed(update, new.translation, old.translation),
        where_allowed(update, new.quat_wxyz, old.quat_wxyz),
        reference,
    )


def where_allowed(update: Tensor, after: Tensor, before: Tensor) -> Tensor:
    """Choose per sequence between tensors of one shape [B, …]."""
    mask = update.view(-1, *(1,) * (after.dim() - 1))
    return torch.where(mask, after, before.to(after.dtype))
