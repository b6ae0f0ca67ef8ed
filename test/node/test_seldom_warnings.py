from ttt3r_ros.node import seldom_warnings
from ttt3r_ros.node.seldom_warnings import SeldomWarnings


def test_each_kind_is_said_once_in_a_period(monkeypatch):
    times, said = iter([0.0, 1.0, 2.0, 4.9, 5.0, 6.0, 7.5]), []
    monkeypatch.setattr(seldom_warnings.time, 'monotonic', lambda: next(times))
    warn = SeldomWarnings(said.append, 5.0)
    for kind in ('bad', 'bad', 'camera_info', 'bad', 'bad', 'camera_info', 'camera_info'):
        warn(kind, f'{kind} {len(said)}')
    assert said == ['bad 0', 'camera_info 1', 'bad 2', 'camera_info 3']
