"""config/sros2/policy.xml allows what the node does, whatever its settings, and nothing more."""

from pathlib import Path
from xml.etree import ElementTree

from lifecycle_msgs.srv import GetState

POLICY = Path(__file__).resolve().parents[2] / 'config' / 'sros2' / 'policy.xml'
# In one or the other of these settings, everything that the node may open is open.
SETTINGS = [
    {'image_transport': 'raw'},
    {'image_transport': 'compressed', 'base_frame': 'base_link', 'use_sim_time': True},
]
EXPRESSIONS = {
    ('topics', 'subscribe'): 'topic',
    ('topics', 'publish'): 'topic',
    ('services', 'reply'): 'service',
    ('services', 'request'): 'service',
}


def full_name(name: str) -> str:
    """Expand a name as sros2 does, in the namespace / and for the node ttt3r."""
    if name.startswith('~'):
        return '/ttt3r' + name[1:]
    return name if name.startswith('/') else '/' + name


def allowed() -> dict[tuple[str, str], set[str]]:
    """Read the policy by kind and permission; every part of it must be one that is known."""
    profile = ElementTree.parse(POLICY).getroot().find('enclaves/enclave/profiles/profile')
    assert profile is not None
    assert profile.attrib == {'ns': '/', 'node': 'ttt3r'}
    found: dict[tuple[str, str], set[str]] = {kind: set() for kind in EXPRESSIONS}
    for group in profile:
        ((permission, value),) = group.attrib.items()
        assert value == 'ALLOW'
        child = EXPRESSIONS[group.tag, permission]
        assert {item.tag for item in group} == {child}
        names = [full_name(item.text) for item in group]
        assert len(names) == len(set(names))
        found[group.tag, permission] = set(names)
    return found


def opened(client) -> dict[tuple[str, str], set[str]]:
    """Ask the graph what the node has open."""
    node = client.node
    return {
        ('topics', 'subscribe'): names(node.get_subscriber_names_and_types_by_node('ttt3r', '/')),
        ('topics', 'publish'): names(node.get_publisher_names_and_types_by_node('ttt3r', '/')),
        ('services', 'reply'): names(node.get_service_names_and_types_by_node('ttt3r', '/')),
        ('services', 'request'): names(node.get_client_names_and_types_by_node('ttt3r', '/')),
    }


def names(found) -> set[str]:
    return {name for name, _ in found}


def test_the_policy_allows_what_the_node_opens_and_nothing_more(system):
    client = system.client
    seen: dict[tuple[str, str], set[str]] = {kind: set() for kind in EXPRESSIONS}
    for settings in SETTINGS:
        process = system.start(**settings)
        client.call('ttt3r/get_state', GetState)
        client.until(lambda: '/path' in opened(client)['topics', 'publish'], 'the graph')
        client.until(lambda: '/camera_info' in opened(client)['topics', 'subscribe'], 'the graph')
        for kind, found in opened(client).items():
            seen[kind] |= found
        process.end()
        client.until(lambda: 'ttt3r' not in client.node.get_node_names(), 'its end')
    assert seen == allowed()
