"""Update rules are switched while images flow."""

import threading
import time

from harness import image
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from ttt3r_ros.model.update_rules import UPDATE_RULES

COUNT = 220
STAMPS = [round(10.0 + 0.1 * index, 6) for index in range(COUNT)]


def switch(client, rule: str) -> None:
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=rule)
    request = SetParameters.Request(parameters=[Parameter(name='update_rule', value=value)])
    assert client.call('ttt3r/set_parameters', SetParameters, request).results[0].successful


@pytest.fixture
def flow():
    """Send images faster than they are computed, in a thread of their own."""
    images = [image(index % 50, at) for index, at in enumerate(STAMPS)]
    threads = []

    def start(client):
        publisher = client.publisher('image', type(images[0]))

        def send():
            for message in images:
                publisher.publish(message)
                time.sleep(0.02)

        threads.append(threading.Thread(target=send))
        threads[0].start()

    yield start
    for thread in threads:
        thread.join()


def test_switching_rules_under_load_loses_no_image_and_is_logged(system, flow):
    process = system.start(input_queue=COUNT, update_rule='ttt3r')
    client = system.client
    client.listen('odometry', 'points')
    client.listen_to_diagnostics()
    flow(client)
    order = [rule for rule in UPDATE_RULES if rule not in ('cut3r', 'ttt3r')] + ['ttt3r', 'cut3r']
    seen = []
    for rule in order:
        done = len(client.received['odometry'])
        client.until(lambda n=done: len(client.received['odometry']) >= n + 5, 'more images')
        switch(client, rule)
        seen.append(len(client.received['odometry']))
    assert seen[-1] < COUNT - 20, 'the rules were not switched under load'
    client.wait_for_stamp('odometry', STAMPS[-1])
    client.wait_for_stamp('points', STAMPS[-1])
    assert client.stamps('odometry') == STAMPS
    assert client.stamps('points') == STAMPS
    before, last = 'ttt3r', STAMPS[0]
    said = process.said().splitlines()
    for rule in order:
        told = [line for line in said if f'update_rule is {rule} from' in line]
        assert len(told) == 1
        assert told[0].endswith(f'it was {before}')
        at = float(told[0].split('image at ')[1].split()[0])
        assert at in STAMPS
        assert at > last
        before, last = rule, at
    # nothing was lost on the way in either, and the last rule, cut3r, takes the whole step
    client.until(lambda: client.value(': input', 'images processed') == str(COUNT), 'the count')
    for event in ('dropped', 'bad', 'overflowed', 'out of order', 'ahead of the clock'):
        assert client.value(': input', f'images {event}') in ('', '0'), event
    client.until(
        lambda: client.value(': reconstruction', 'mean gain') == '1.0000', 'the gain of cut3r'
    )
