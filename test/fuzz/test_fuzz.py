"""The kept corpus, and a few changes of each of its cases; `make fuzz` tries many more."""

from pathlib import Path
import random

import pytest
from targets import TARGETS

from ttt3r_ros.model.checkpoint import load_network

CORPUS = Path(__file__).parent / 'corpus'
CHANGES = 15  # of each target
NUMBERS = (b'\xff' * 4, b'\0' * 4, b'\x7f\xff\xff\xff', b'\xff' * 8, b'\x80')


def changed(rng: random.Random, data: bytes) -> bytes:
    """Cut, overwrite, or turn a bit."""
    at = rng.randrange(len(data))
    value = rng.choice(NUMBERS)
    return rng.choice(
        [
            data[:at],
            data[:at] + value + data[at + len(value) :],
            data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :],
        ]
    )


def test_the_first_case_of_weights_is_a_whole_network_that_the_fuzzer_does_not_cut(tmp_path):
    case = (CORPUS / 'safetensors/seed_0').read_bytes()
    assert len(case) < 1 << 16
    path = tmp_path / 'w.safetensors'
    path.write_bytes(case)
    assert load_network(path).config.head == 'dpt'


@pytest.mark.parametrize('name', TARGETS)
def test_nothing_but_our_own_errors_comes_out(name):
    rng = random.Random(name)
    cases = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    assert cases
    for data in cases:
        TARGETS[name](data)
    for _ in range(CHANGES):
        TARGETS[name](changed(rng, rng.choice(cases)))
