from hypothesis import given
from hypothesis import strategies as st
import pytest

from ttt3r_ros.io.association import associate


def test_closest_pairs_first_and_each_stamp_once():
    # The second of `a` is nearer to the only partner than the first.
    assert associate([1.000, 1.010], [1.012]) == {1: 0}
    assert associate([1.000, 1.010], [1.012, 1.015]) == {1: 0, 0: 1}


def test_limit_is_exclusive_and_order_does_not_matter():
    assert associate([0.0], [0.02]) == {}
    assert associate([0.0], [0.0199]) == {0: 0}
    assert associate([5.0, 1.0], [1.001, 9.0, 5.001]) == {0: 2, 1: 0}
    assert associate([], [1.0]) == associate([1.0], []) == {}


@given(
    st.lists(st.integers(0, 60), max_size=12, unique=True),
    st.lists(st.integers(0, 60), max_size=12, unique=True),
)
def test_equals_the_benchmark_s_own_loop(first, second):
    a, b = [0.005 * x for x in first], [0.005 * x + 0.001 for x in second]
    candidates = sorted(
        (abs(x - y), i, j) for i, x in enumerate(a) for j, y in enumerate(b) if abs(x - y) < 0.02
    )
    expected = {}
    for _, i, j in candidates:
        if i not in expected and j not in expected.values():
            expected[i] = j
    assert associate(a, b) == expected


@pytest.mark.parametrize('limit', [0.0, 0.005])
def test_limit_can_be_chosen(limit):
    assert associate([1.0], [1.006], limit) == {}
