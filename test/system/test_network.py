"""The node talks DDS on its domain's ports, and to nobody else."""

from collections import Counter
import ctypes
import os
from pathlib import Path
import socket

from faults import stranger
from harness import image
from std_srvs.srv import Trigger

from ttt3r_ros.node.shared_memory import image_environment

HOOK = """
import os, sys
def audit(event, arguments):
    if event.startswith(('socket.', 'urllib.', 'http.', 'ftplib.', 'smtplib.', 'webbrowser.')):
        os.write(2, f'AUDIT {event} {arguments!r}\\n'.encode())
sys.addaudithook(audit)
import socket
socket.getservbyname('domain', 'udp')  # shows in the log that the hook is there
"""
SHOWN = "AUDIT socket.getservbyname ('domain', 'udp')"
INTERNET = (socket.AF_INET, socket.AF_INET6)
PIDFD_GETFD = 438  # number of the system call, on all architectures


def sockets(pid: int) -> list[socket.socket]:
    """Return the sockets of a child process, duplicated into this one."""
    handle = os.pidfd_open(pid)
    entries = (Path('/proc') / str(pid) / 'fd').iterdir()
    numbers = [int(entry.name) for entry in entries if 'socket:' in str(entry.readlink())]
    own = [ctypes.CDLL(None).syscall(PIDFD_GETFD, handle, number, 0) for number in numbers]
    os.close(handle)
    assert min(own) >= 0, 'the kernel hands out no sockets'
    return [socket.socket(fileno=number) for number in own]


def peer(found: socket.socket) -> object:
    try:
        return found.getpeername()
    except OSError:
        return None


def at_work(system, **options) -> int:
    """Let a node do all that it does, and return its process id."""
    process = system.start(input_queue=20, executable=True, **options)
    client = system.client
    client.listen('odometry', 'points', 'map_points')
    client.send(*[image(index, 10.0 + index) for index in range(3)])
    client.wait_for_stamp('odometry', 12.0)
    assert client.call('ttt3r/save_map', Trigger).success
    client.call_reset()
    return process.pid


def kinds(pid: int, domain: int) -> Counter:
    """Count the sockets of a process by what they are good for."""
    count: Counter = Counter()
    for one in sockets(pid):
        port = one.getsockname()[1] if one.family in INTERNET else -1
        use = 'of the domain' if port - 7400 - 250 * domain in range(250) else 'other'
        count[one.family, one.type, use if port else 'sends', peer(one)] += 1
        one.close()
    return count


def test_no_socket_is_open_but_those_that_every_ros_node_has(system, tmp_path, monkeypatch):
    """
    A node that does nothing tells which: UDP, on the ports of the domain or only sending.

    It has the same settings of Fast DDS, with which there is one more to send by.
    """
    pid = at_work(system, map_directory=str(tmp_path))
    for name, value in image_environment(os.environ, Path.cwd()).items():
        monkeypatch.setenv(name, value)
    with stranger(system.domain, 'rclpy.spin(node)') as bare:
        system.client.until(
            lambda: 'stranger' in system.client.node.get_node_names(), 'the bare node'
        )
        wanted = kinds(bare.pid, system.domain)
    found = kinds(pid, system.domain)
    assert found == wanted
    assert {(kind, to) for _, kind, _, to in found} == {(socket.SOCK_DGRAM, None)}
    assert any(use == 'of the domain' for _, _, use, _ in found)


def test_python_code_opens_no_socket_and_asks_for_no_address(system, tmp_path, monkeypatch):
    """DDS does not go through Python: whatever the hook hears is not DDS."""
    (tmp_path / 'sitecustomize.py').write_text(HOOK)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    at_work(system, map_directory=str(tmp_path))
    process = system.processes[-1]
    assert process.end()[0] == 0
    heard = [line for line in process.said().splitlines() if line.startswith('AUDIT')]
    assert heard == [SHOWN]
