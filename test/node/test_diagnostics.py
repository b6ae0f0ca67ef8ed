from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticStatus
import pytest

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.node.diagnostics import HealthCheck, Situation
from ttt3r_ros.node.pipeline import Report
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Snapshot, Statistics
from ttt3r_ros.view import Tracking

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
ACTIVE = Situation(state='active', topic='/camera/image', epoch=2, device='cpu')
FINE = Snapshot(
    counts={'received': 10, 'processed': 9},
    input_rate=10.0,
    output_rate=9.0,
    silence=0.1,
    latency=(0.05, 0.08),
    processing=(0.04, 0.07),
)


@pytest.fixture
def report(fake_view) -> Report:
    return Report(view=fake_view(index=4), confidence=2.5)


def judge(situation=ACTIVE, snapshot=FINE, report=Report(), check=None):  # noqa: B008
    check = check or HealthCheck('/ttt3r')
    return {
        status.name.removeprefix('/ttt3r: '): status
        for status in check.judge(situation, snapshot, report, NodeConfig())
    }


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def test_all_is_well(report):
    statuses = judge(report=report)
    assert [status.level for status in statuses.values()] == [OK, OK, OK]
    assert values(statuses['input'])['rate [Hz]'] == '10.00'
    told = values(statuses['reconstruction'])
    health = [told[name] for name in ('mean gain', 'state change', 'state drift')]
    assert health == ['0.5000', '0.1000', '0.2000']
    assert told['mean confidence'] == '2.500'
    assert (told['epoch'], told['device'], told['frames in this epoch']) == ('2', 'cpu', '5')
    assert values(statuses['output'])['latency p99 [ms]'] == '80.0'


def test_no_image_names_the_topic(report):
    status = judge(snapshot=replace(FINE, silence=7.0), report=report)['input']
    assert (status.level, '/camera/image' in status.message) == (WARN, True)
    alone = replace(ACTIVE, silent='nobody publishes it')
    status = judge(alone, replace(FINE, silence=7.0), report)['input']
    assert status.message == 'no image on /camera/image for 7.0 s: nobody publishes it'


def test_silence_is_no_fault_while_paused_or_inactive(report):
    silent = replace(FINE, silence=99.0)
    for situation in (replace(ACTIVE, paused=True), replace(ACTIVE, state='inactive')):
        assert judge(situation, silent, report)['input'].level == OK


def test_overflow_is_an_error_and_a_bad_image_a_warning_once(report):
    check = HealthCheck('/ttt3r')
    full = replace(FINE, counts={'overflowed': 3})
    assert judge(snapshot=full, report=report, check=check)['input'].level == ERROR
    assert judge(snapshot=full, report=report, check=check)['input'].level == OK
    bad = replace(FINE, counts={'overflowed': 3, 'bad': 1})
    assert judge(snapshot=bad, report=report, check=check)['input'].level == WARN


def test_counts_that_begin_anew_with_a_new_configuration_are_no_loss(report):
    check = HealthCheck('/ttt3r')
    long_ago = replace(FINE, counts={'received': 5000, 'bad': 40})
    judge(snapshot=long_ago, report=report, check=check)
    anew = replace(FINE, counts={'received': 3, 'bad': 1})
    assert judge(snapshot=anew, report=report, check=check)['input'].level == OK
    later = replace(FINE, counts={'received': 13, 'bad': 2})
    assert judge(snapshot=later, report=report, check=check)['input'].level == WARN


def test_camera_info_that_cannot_be_used_is_a_warning(report):
    useless = replace(FINE, counts={'with bad camera_info': 1})
    status = judge(snapshot=useless, report=report)['input']
    assert (status.level, 'camera_info' in status.message) == (WARN, True)


def test_messages_are_told_by_topic(report):
    status = judge(replace(ACTIVE, sent={'points': 7, 'path': 0}), report=report)['output']
    told = values(status)
    assert (told['messages on points'], told['messages on path']) == ('7', '0')


def test_lost_is_an_error(fake_view):
    lost = Report(view=fake_view(tracking=Tracking(status='lost')))
    assert judge(report=lost)['reconstruction'].level == ERROR


def test_what_is_waited_for_is_a_warning():
    status = judge(report=Report(problem='waiting for the transform of the camera'))
    assert status['reconstruction'].level == WARN
    assert 'waiting' in status['reconstruction'].message


def test_camera_info_of_another_camera_is_a_warning(report):
    estimated = report.view.input_intrinsics
    near = Intrinsics.centred(16, 12, estimated.fx * 1.1)
    far = Intrinsics.centred(16, 12, estimated.fx * 2)
    assert judge(report=replace(report, calibrated=near))['reconstruction'].level == OK
    status = judge(report=replace(report, calibrated=far))['reconstruction']
    assert (status.level, 'camera_info' in status.message) == (WARN, True)


def test_why_it_cannot_be_configured_is_an_error():
    broken = Situation(state='unconfigured', problem='no such file')
    status = judge(broken)['reconstruction']
    assert (status.level, status.message) == (ERROR, 'no such file')


def test_statistics_give_rates_and_percentiles():
    statistics = Statistics()
    for index in range(100):
        statistics.receive(1000.0 + index * 0.1)
        statistics.publish(
            1000.0 + index * 0.1,
            latency=index / 100,
            processing=0.5,
            parts={'network': index / 50},
        )
    statistics.count('dropped', 4)
    snapshot = statistics.snapshot(1009.9)
    assert snapshot.input_rate == pytest.approx(10, rel=0.05)
    assert snapshot.output_rate == pytest.approx(10, rel=0.05)
    assert snapshot.latency == pytest.approx((0.495, 0.98), abs=0.01)
    assert snapshot.parts['network'] == pytest.approx((0.99, 1.96), abs=0.01)
    assert snapshot.counts == {'received': 100, 'processed': 100, 'dropped': 4}
    assert snapshot.silence == pytest.approx(0.0, abs=1e-6)
    assert statistics.snapshot(1100.0).input_rate == 0


def test_latencies_before_a_simulated_clock_has_begun_count_for_nothing():
    statistics = Statistics()
    for latency in (float('nan'), 0.2, 0.2):
        statistics.publish(0.0, latency=latency, processing=0.1, parts={})
    assert statistics.snapshot(0.0).latency == (0.2, 0.2)


def test_the_rate_of_a_fast_camera_is_told():
    statistics = Statistics()
    for index in range(8000):
        statistics.receive(index / 400)
    assert statistics.snapshot(20.0).input_rate == pytest.approx(400, rel=0.01)


@pytest.mark.parametrize(
    ('event', 'why'),
    [('out of order', 'not later than one before'), ('ahead of the clock', 'ahead of /clock')],
)
def test_images_that_their_stamps_rule_out_are_a_warning_where_no_other_comes(event, why, report):
    check = HealthCheck('/ttt3r')
    some = replace(FINE, counts={'received': 20, event: 15})
    assert judge(snapshot=some, report=report, check=check)['input'].level == OK
    none = replace(FINE, counts={'received': 40, event: 35})
    status = judge(snapshot=none, report=report, check=check)['input']
    assert status.level == WARN
    assert why in status.message
    assert '/camera/image' in status.message


def test_more_images_lost_in_transport_than_received_are_a_warning(report):
    check = HealthCheck('/ttt3r')
    some = replace(FINE, counts={'received': 20, 'lost in transport': 20})
    assert judge(snapshot=some, report=report, check=check)['input'].level == OK
    most = replace(FINE, counts={'received': 24, 'lost in transport': 40})
    status = judge(snapshot=most, report=report, check=check)['input']
    assert status.level == WARN
    assert '20 of 24 images lost in transport' in status.message
    assert 'fastdds.xml' in status.message


@pytest.mark.parametrize(
    ('around', 'told'),
    [({'publishers': 2}, '2 publish /camera/image'), ({'timeless': True}, '/clock')],
)
def test_several_cameras_and_a_clock_that_nobody_tells_are_warnings(report, around, told):
    status = judge(replace(ACTIVE, **around), report=report)['input']
    assert status.level == WARN
    assert told in status.message


@pytest.mark.parametrize(('age', 'told'), [(1.8e9, 'before'), (-30.0, 'after')])
def test_stamps_far_from_the_time_are_a_warning(report, age, told):
    other = replace(ACTIVE, age=age)
    status = judge(other, report=report)['output']
    assert status.level == WARN
    assert f' s {told} the time at which they come' in status.message
    for idle in (replace(other, state='inactive'), replace(other, paused=True)):
        assert judge(idle, report=report)['output'].level == OK
    assert judge(other, replace(FINE, silence=99.0), report)['output'].level == OK
    assert judge(replace(ACTIVE, age=2.0), report=report)['output'].level == OK


def test_stamps_that_jump_back_again_and_again_are_a_warning(report):
    check = HealthCheck('/ttt3r')
    loop = replace(FINE, counts={'received': 20, 'back in time': 1})
    assert judge(snapshot=loop, report=report, check=check)['input'].level == OK
    mixed = replace(FINE, counts={'received': 40, 'back in time': 11})
    status = judge(snapshot=mixed, report=report, check=check)['input']
    assert status.level == WARN
    assert '/camera/image jump back again and again' in status.message
