"""A clock that neither a recording nor a set-back can stop."""

from __future__ import annotations

from rclpy import clock


def steady_clock() -> clock.Clock:
    """Return a clock that only goes forward, for timers of the node itself."""
    # Not from rclpy.clock_type: Humble has no such module.
    return clock.Clock(clock_type=clock.ClockType.STEADY_TIME)  # type: ignore[attr-defined]
