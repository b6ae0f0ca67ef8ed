"""
Prints the first of some ROS domains on which no other node or topic is seen.

    python -m ttt3r_ros.node.free_domain 17 4 88
"""

from __future__ import annotations

import os
import sys
import time

import rclpy
from rclpy.context import Context
from rclpy.node import Node

_LOOK = 5.0  # seconds; some middleware announces itself every 3 s only
_OWN_TOPICS = {'/parameter_events', '/rosout'}  # of every node, this one too


def is_free(domain: int) -> bool:
    """Look at a domain for a moment, and tell whether nobody else is there."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    try:
        name = f'free_domain_{os.getpid()}'
        node = Node(name, context=context, use_global_arguments=False, enable_rosout=False)
        deadline = time.monotonic() + _LOOK
        while time.monotonic() < deadline:
            topics = {topic for topic, _ in node.get_topic_names_and_types()}
            if set(node.get_node_names()) - {name} or topics - _OWN_TOPICS:
                return False
            time.sleep(0.1)
        return True
    finally:
        rclpy.try_shutdown(context=context)


def main(args: list[str] | None = None) -> None:
    """
    Print a free domain, or end with status 1.

    :param args: the domains to try, in this order; by default those of the process
    """
    domains = sys.argv[1:] if args is None else args
    for domain in domains:
        if is_free(int(domain)):
            print(domain)
            return
    sys.exit(f'others are on all ROS domains that were tried: {", ".join(domains)}')


if __name__ == '__main__':
    main()
