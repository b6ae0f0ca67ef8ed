"""The bond by which `nav2_lifecycle_manager` sees that the node is alive."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node


class NodeBond:
    """
    A running bond of bondpy, to be ended by `shutdown`.

    :param node: whose bond it is
    :param bond: of bondpy, not started
    """

    def __init__(self, node: Node, bond: Any) -> None:
        self._node, self._bond = node, bond
        bond.start()

    def shutdown(self) -> None:
        """
        End it; the other side is told.

        bondpy destroys its subscription, but leaves it with the node, whose executor would stumble
        over it at every turn and serve nothing any more.
        """
        self._node.destroy_subscription(self._bond.sub)
        self._bond.shutdown()
        self._node.destroy_publisher(self._bond.pub)


def create_bond(node: Node) -> NodeBond | None:
    """
    Begin a bond under the node's name, as Nav2's own servers do.

    :return: None where bondpy is not installed (then set `bond_timeout: 0.0` for the lifecycle
        manager)
    """
    try:
        from bondpy.bondpy import Bond
    except ImportError:
        return None
    return NodeBond(node, Bond(node, 'bond', node.get_name()))
