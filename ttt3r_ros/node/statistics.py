"""Counts and times that diagnostics report."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
import math
import threading
import time

import numpy as np

WINDOW = 5.0  # seconds over which rates are taken
_SAMPLES = 300  # latencies kept


@dataclass(frozen=True)
class Snapshot:
    """
    The state of the node's statistics at one moment.

    :param counts: events since activation: received, processed, dropped, overflowed, bad, ...
    :param input_rate: images per second received lately
    :param output_rate: frames per second published lately
    :param silence: seconds since the last image, or since activation
    :param latency: seconds from stamp to publishing, percentiles 50 and 99; NaN before any
    :param processing: seconds from receipt to publishing, percentiles 50 and 99
    :param parts: seconds that the parts of the work take, by name, percentiles 50 and 99
    """

    counts: dict[str, int]
    input_rate: float
    output_rate: float
    silence: float
    latency: tuple[float, float]
    processing: tuple[float, float]
    parts: dict[str, tuple[float, float]] = field(default_factory=dict)


class Statistics:
    """Collects from several threads; times are of the monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._received: deque[float] = deque()  # of the last seconds
        self._published: deque[float] = deque()
        self._latencies: deque[float] = deque(maxlen=_SAMPLES)
        self._processing: deque[float] = deque(maxlen=_SAMPLES)
        self._parts: dict[str, deque[float]] = {}
        self._heard = time.monotonic()
        self._lock = threading.Lock()

    def count(self, event: str, number: int = 1) -> None:
        """Count an event."""
        with self._lock:
            self._counts[event] += number

    def receive(self, now: float) -> None:
        """Note that an image came."""
        with self._lock:
            self._counts['received'] += 1
            _append(self._received, now)
            self._heard = now

    def publish(
        self, now: float, latency: float, processing: float, parts: Mapping[str, float]
    ) -> None:
        """
        Note that the results of an image went out.

        :param latency: seconds since its stamp, by the clock of the stamps; NaN: not known
        :param processing: seconds since it was received
        :param parts: seconds that each part of the work took, by name
        """
        with self._lock:
            self._counts['processed'] += 1
            _append(self._published, now)
            if not math.isnan(latency):
                self._latencies.append(latency)
            self._processing.append(processing)
            for name, seconds in parts.items():
                self._parts.setdefault(name, deque(maxlen=_SAMPLES)).append(seconds)

    def listen_again(self) -> None:
        """Start the wait for the next image anew (activation, end of a pause)."""
        with self._lock:
            self._heard = time.monotonic()

    def snapshot(self, now: float) -> Snapshot:
        """Return the present state."""
        with self._lock:
            return Snapshot(
                counts=dict(self._counts),
                input_rate=_rate(self._received, now),
                output_rate=_rate(self._published, now),
                silence=now - self._heard,
                latency=_percentiles(self._latencies),
                processing=_percentiles(self._processing),
                parts={name: _percentiles(values) for name, values in self._parts.items()},
            )


def _append(times: deque[float], now: float) -> None:
    """Add a time, and forget those that no rate counts any more."""
    times.append(now)
    while now - times[0] > WINDOW:
        times.popleft()


def _rate(times: deque[float], now: float) -> float:
    return sum(now - time <= WINDOW for time in times) / WINDOW


def _percentiles(values: deque[float]) -> tuple[float, float]:
    if not values:
        return float('nan'), float('nan')
    median, high = np.percentile(np.array(values), [50, 99])
    return float(median), float(high)
