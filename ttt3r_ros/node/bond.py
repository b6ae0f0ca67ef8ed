"""The bond by which `nav2_lifecycle_manager` sees that the node is alive."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node


def create_bond(node: Node) -> Any:
    """
    Begin a bond under the node's name, as Nav2's own servers do.

    :return: the running bond, to be ended by its `shutdown`; None where bondpy is not installed
        (then set `bond_timeout: 0.0` for the lifecycle manager)
    """
    try:
        from bondpy.bondpy import Bond
    except ImportError:
        return None
    bond = Bond(node, 'bond', node.get_name())
    bond.start()
    return bond
