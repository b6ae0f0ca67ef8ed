"""Processes that train one network: each its share of a batch, all the mean of the gradients."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
import torch.distributed as dist

from ttt3r_ros.errors import TrainingError


class Team:
    """
    What the processes of one run tell each other; alone, nothing.

    All must call the same methods in the same order. Where one has gone, the others' calls raise
    TrainingError.

    :param meeting: a new file, by which they find each other
    :param rank: of this process, from 0
    :param count: of processes on this machine
    """

    def __init__(self, meeting: Path | None = None, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count
        if count > 1:
            store = dist.FileStore(str(meeting), count)  # type: ignore[attr-defined]
            dist.init_process_group('gloo', store=store, rank=rank, world_size=count)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients by their means over all processes."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.count == 1 or not gradients:
            return
        together = torch.cat([gradient.flatten() for gradient in gradients])
        _reduce(together, dist.ReduceOp.SUM)
        together /= self.count
        parts = torch.split(together, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def any_says(self, word: bool) -> bool:
        """Return whether any of the processes says yes."""
        if self.count == 1:
            return word
        said = torch.tensor(float(word))
        _reduce(said, dist.ReduceOp.MAX)
        return bool(said > 0)

    def part(self) -> None:
        """Leave the others."""
        if self.count > 1:
            dist.destroy_process_group()


def _reduce(tensor: Tensor, how: dist.ReduceOp.RedOpType) -> None:
    """Replace a tensor by the sum or the largest of all processes' tensors."""
    try:
        dist.all_reduce(tensor, how)
    except RuntimeError as error:
        raise TrainingError('another of the processes that train has gone') from error
