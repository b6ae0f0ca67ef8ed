import random

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from ttt3r_ros.node import free_domain


@pytest.fixture
def busy(monkeypatch):
    """A domain with a node on it."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    domain = random.SystemRandom().randrange(1, 102)
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    node = Node('somebody', context=context, use_global_arguments=False)
    yield domain
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_the_first_domain_without_others_is_printed(busy, capsys):
    others = [str(domain) for domain in range(1, 6) if domain != busy]
    free_domain.main([str(busy), *others])
    assert capsys.readouterr().out.strip() in others


def test_no_domain_is_free(busy):
    with pytest.raises(SystemExit) as ended:
        free_domain.main([str(busy)])
    assert 'others are on all ROS domains that were tried' in ended.value.code
