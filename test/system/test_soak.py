"""Three minutes of tools/soak.py, which `make soak` runs for an hour."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from node_processes import START, Domain
import pytest
import soak
from soak import Outcome, Soak, walk

TOOLS = str(Path(soak.__file__).parent)
MINUTES = 3.0
WARM = 60.0  # seconds
# Without the walk, which takes long to make.
SOON = """
import sys
import numpy as np
sys.path.insert(0, sys.argv.pop(1))
import soak
soak.walk = lambda: np.zeros((2, 240, 320, 3), np.uint8)
sys.exit(soak.main())
"""
ROOM = 30.0  # MB that buffers of listeners may take; a leaked image is 0.2


@pytest.fixture(scope='module')
def outcome(tmp_path_factory) -> Outcome:
    domain = Domain()
    try:
        return Soak(tmp_path_factory.mktemp('soak'), walk(), domain.number).run(MINUTES)
    finally:
        domain.release()


def test_every_image_is_answered_or_counted_while_listeners_come_and_go(outcome):
    assert len(outcome.sent) > 100
    assert outcome.answered
    assert outcome.guests > 10
    assert outcome.unexplained() == 0
    assert outcome.status == 0, outcome.log
    assert 'Traceback' not in outcome.log


@pytest.mark.parametrize('what', ['threads', 'files'])
def test_nothing_stays_behind_when_listeners_have_gone(outcome, what):
    first, last = outcome.floors(what, WARM)
    assert last <= first


def test_memory_is_bounded_while_listeners_come_and_go(outcome):
    kept = [sample.memory_mb for sample in outcome.samples if sample.at >= WARM]
    assert max(kept) - min(kept) < ROOM, kept


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_soak_that_is_ended_ends_its_node(number):
    command = [sys.executable, '-c', SOON, TOOLS, '1']
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        children = Path(f'/proc/{process.pid}/task/{process.pid}/children')
        deadline = time.monotonic() + START
        while not (nodes := children.read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert nodes
        process.send_signal(number)
        assert process.wait(START) == 1
        left = [node for node in nodes if Path(f'/proc/{node}').exists()]
        for node in left:
            os.kill(int(node), signal.SIGTERM)
        assert not left
    finally:
        process.kill()
