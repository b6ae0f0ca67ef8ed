"""The beginning of a process with ROS."""

from __future__ import annotations

import sys
from typing import Any

import rclpy


def start_ros(program: str, args: list[str] | None, **options: Any) -> None:
    """
    Start ROS; where its arguments or a parameter file are wrong, end the process with the reason.

    :param program: name that the reason begins with
    :param args: command line; by default that of the process
    :param options: of `rclpy.init`
    """
    try:
        rclpy.init(args=args, **options)
    except RuntimeError as error:  # all that rclpy raises here are
        sys.exit(f'{program}: ROS cannot be started: {error}')
