"""Listeners that do not listen, crowds, and a machine that has other things to do."""

import signal
import subprocess
import sys
import time

from faults import Participant, stranger, stream, tracks_again, usage
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from ttt3r_ros.node.outputs import TOPICS, topic_qos

DEAF = """
from ttt3r_ros.node.outputs import TOPICS, topic_qos
kept = [node.create_subscription(k, n, lambda m: None, topic_qos(n)) for n, k in TOPICS.items()]
while True:
    rclpy.spin_once(node, timeout_sec=0.1)
"""
BUSY = 'while True: pass'
REASONS = (
    'dropped',
    'overflowed',
    'lost in transport',
    'discarded',
    'bad',
    'failed',
    'out of order',
    'ahead of the clock',
)


def count(client, event: str) -> int:
    return int(client.value(': input', f'images {event}') or 0)


def accounted(client) -> int:
    """Return how many images have come back as odometry, or are counted as lost."""
    return len(client.stamps('odometry')) + sum(count(client, each) for each in REASONS)


def begin(client, at: float) -> int:
    """
    Send images until the node answers, and return how many are accounted for then.

    Those before the node knew of the publisher are not: nobody can count them.
    """
    tracks_again(client, at)
    time.sleep(2.5)  # diagnostics come once a second
    return accounted(client)


def test_a_listener_that_never_reads_holds_nothing_up(system):
    system.start(input_queue=50)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    with stranger(system.domain, DEAF) as deaf:
        client.until(lambda: client.node.count_subscribers('points') == 1, 'the deaf one')
        sent = begin(client, 10.0)
        deaf.send_signal(signal.SIGSTOP)
        sent += len(stream(client, 20.0, 200)) + tracks_again(client, 100.0)
        client.until(lambda: accounted(client) == sent, 'a reason for each image', 20)
        assert len(client.stamps('odometry')) > sent / 2


def test_a_storm_of_twenty_participants(system):
    process = system.start()
    client, node = system.client, process
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.publisher('image', Image)
    sent = begin(client, 1.0)
    quiet = usage(node.pid)
    for number in range(2):
        start = 100.0 * (number + 1)
        crowd = [Participant(system.domain, f'guest_{i}') for i in range(20)]
        for guest in crowd:
            for name, kind in TOPICS.items():
                guest.node.create_subscription(kind, name, lambda _: None, topic_qos(name))
            guest.node.create_publisher(Image, 'image', QoSProfile(depth=1))
        stamps = stream(client, start, 60)
        for guest in crowd:
            guest.close()
        sent += len(stamps) + tracks_again(client, start + 50)

    client.until(lambda: accounted(client) == sent, 'a reason for each image', 20)
    client.until(lambda: usage(node.pid)[1] <= quiet[1] + 2, 'the end of threads')
    client.until(lambda: usage(node.pid)[2] <= quiet[2] + 2, 'the end of open files')


def test_with_a_load_of_eight_latency_grows_but_no_queue(system):
    process = system.start()
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.publisher('image', Image)
    tracks_again(client, 1.0)
    hogs = [subprocess.Popen([sys.executable, '-c', BUSY]) for _ in range(8)]
    try:
        memory = []
        for number in range(6):
            now = time.time()
            stream(client, now, 40)
            memory.append(usage(process.pid)[0])
            # Whatever waits is at most one image in work, one behind it, and ten inside DDS.
            received, done = count(client, 'received'), count(client, 'processed')
            assert received - done - count(client, 'dropped') <= 12, f'after {number + 1} rounds'
        latency = float(client.value(': output', 'latency p50 [ms]'))
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    print(f'latency p50 with eight hogs: {latency} ms')
    tracks_again(client, 10.0 + time.time())
    assert memory[-1] < memory[1] + 60
