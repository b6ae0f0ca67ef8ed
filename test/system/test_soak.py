"""Three minutes of tools/soak.py, which `make soak` runs for an hour."""

from pathlib import Path
import sys

from node_processes import Domain
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))
from soak import Outcome, Soak, walk

MINUTES = 3.0
WARM = 60.0  # seconds
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
