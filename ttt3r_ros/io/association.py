"""Pairing of what two sensors recorded, by time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

MAX_DIFFERENCE = 0.02  # s, the TUM benchmark's own limit


def associate(
    first: ArrayLike, second: ArrayLike, max_difference: float = MAX_DIFFERENCE
) -> dict[int, int]:
    """
    Pair stamps greedily, closest first, as the TUM RGB-D benchmark does; nothing is interpolated.

    :param first: seconds, in any order [N]
    :param second: seconds, in any order [M]
    :param max_difference: pairs must be closer than this, in seconds
    :return: index into `second` for each index into `first` that has a partner
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    order = np.argsort(b, kind='stable')
    low = np.searchsorted(b[order], a - max_difference, side='left')
    high = np.searchsorted(b[order], a + max_difference, side='right')
    candidates = [
        (abs(a[i] - b[j]), i, int(j))
        for i in range(len(a))
        for j in order[low[i] : high[i]]
        if abs(a[i] - b[j]) < max_difference
    ]
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(candidates):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs
