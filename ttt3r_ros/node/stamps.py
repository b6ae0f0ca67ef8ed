"""Time as the messages tell it: duplicates, small steps back, and jumps."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from ttt3r_ros.node.conversions import NANOSECONDS

_STALE_CLOCK = NANOSECONDS  # what a simulated clock may be behind the images of its own round


class Verdict(Enum):
    """What is to be done with an image because of its stamp."""

    ACCEPT = 'accept'
    DROP = 'drop'
    EARLY = 'early'  # drop it: the simulated clock is not there yet
    JUMP = 'jump'  # accept it as the first of a new epoch


class StampMonitor:
    """
    Judges the stamps of one stream of images.

    :param threshold: seconds; a step back by more is a jump
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = int(threshold * NANOSECONDS)
        self._last: int | None = None

    def judge(self, stamp: int, now: int = 0) -> Verdict:
        """
        Judge the next image.

        :param stamp: of the image, nanoseconds
        :param now: simulated time, nanoseconds; 0 where time is not simulated or has not begun.
            An image from the future of a simulated clock is of an earlier round of the bag.
        """
        if now and stamp > now + max(self._threshold, _STALE_CLOCK):
            return Verdict.EARLY
        if stamp == 0 and not now and self._last:
            return Verdict.DROP  # left empty, and no jump
        last = self._last
        if last is None or stamp > last:
            self._last = stamp
            return Verdict.ACCEPT
        if last - stamp > self._threshold:
            self._last = stamp
            return Verdict.JUMP
        return Verdict.DROP

    def clock_jumped(self, now: int) -> bool:
        """
        Take note that the clock was set back.

        :param now: the new time, nanoseconds
        :return: whether that starts a new epoch: not so if the images have jumped already
        """
        if self._last is None or self._last <= now + self._threshold:
            return False
        self._last = None
        return True

    def forget(self) -> None:
        """Accept whatever stamp comes next."""
        self._last = None


class SequenceGaps:
    """Finds messages that DDS lost or replaced on the way, by the numbers their publisher gave."""

    def __init__(self) -> None:
        self._last: tuple[Any, int] | None = None

    def count(self, info: Mapping[str, Any]) -> int:
        """
        Count what is missing between the message before and this one, of the same publisher.

        :param info: `MessageInfo` of the message; without a number nothing is found
        """
        number, publisher = info.get('publication_sequence_number'), info.get('publisher_gid')
        if number is None:
            return 0
        before, self._last = self._last, (publisher, int(number))
        if before is None or before[0] != publisher:
            return 0
        return max(0, int(number) - before[1] - 1)
