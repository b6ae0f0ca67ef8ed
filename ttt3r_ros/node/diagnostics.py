"""The node's health, as `/diagnostics` wants it (REP-107)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import resource

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ttt3r_ros.node.pipeline import Report
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Snapshot

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_OTHER_CLOCK = 10.0  # seconds that a stamp is from the clock; tf2 remembers no more


@dataclass(frozen=True)
class Situation:
    """
    What the node is doing, apart from its statistics.

    :param state: of the lifecycle: unconfigured, inactive, active
    :param problem: why it could not be configured
    :param topic: of the images
    :param paused: by the service
    :param epoch: how often the reconstruction began anew
    :param device: that the network runs on
    :param silent: why no image can come, if that is known
    :param timeless: time is simulated, and nobody has said yet what it is
    :param publishers: of the images
    :param age: of the newest stamp when it came, seconds; 0 where there is none
    :param sent: messages published so far on each output
    """

    state: str
    problem: str = ''
    topic: str = ''
    paused: bool = False
    epoch: int = 0
    device: str = ''
    silent: str = ''
    timeless: bool = False
    publishers: int = 1
    age: float = 0.0
    sent: Mapping[str, int] = field(default_factory=dict)


class HealthCheck:
    """
    Judges how the node is doing, once a second.

    :param name: full name of the node
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._before: dict[str, int] = {}

    def judge(
        self, situation: Situation, snapshot: Snapshot, report: Report, config: NodeConfig
    ) -> list[DiagnosticStatus]:
        """Return one status each for input, reconstruction and output."""
        # Configuring counts from zero again.
        new = {key: max(0, n - self._before.get(key, 0)) for key, n in snapshot.counts.items()}
        self._before = dict(snapshot.counts)
        reports = {
            'input': (
                _judge_input(situation, snapshot, new, config.image_timeout),
                _input_values(situation, snapshot),
            ),
            'reconstruction': (
                _judge_reconstruction(situation, report, config.intrinsics_tolerance),
                _reconstruction_values(situation, report),
            ),
            'output': (
                _judge_output(situation, snapshot, config.image_timeout),
                _output_values(situation, snapshot),
            ),
        }
        return [
            DiagnosticStatus(
                level=level,
                name=f'{self._name}: {part}',
                message=message,
                hardware_id='ttt3r_ros',
                values=[KeyValue(key=key, value=value) for key, value in values.items()],
            )
            for part, ((level, message), values) in reports.items()
        ]


def _judge_input(
    situation: Situation, snapshot: Snapshot, new: Mapping[str, int], timeout: float
) -> tuple[bytes, str]:
    if situation.state != 'active':
        return OK, situation.state
    if situation.paused:
        return OK, 'paused'
    if new.get('overflowed'):
        return ERROR, f'queue is full: {new["overflowed"]} images lost'
    if snapshot.silence > timeout:
        why = f': {situation.silent}' if situation.silent else ''
        return WARN, f'no image on {situation.topic} for {snapshot.silence:.1f} s{why}'
    told = _trouble_of_images(situation.topic, new) or _trouble_around(situation)
    return (WARN, told) if told else (OK, 'receiving')


def _trouble_of_images(topic: str, new: Mapping[str, int]) -> str:
    """Say why images since the last time are of no use, or did not come; '' if all is well."""
    came, lost = new.get('received', 0), new.get('lost in transport', 0)
    early, disordered = new.get('ahead of the clock', 0), new.get('out of order', 0)
    if 0 < came <= early + disordered:
        why = 'ahead of /clock' if early > disordered else 'not later than one before'
        return f'no image of use on {topic}: their stamps are {why}'
    if new.get('back in time', 0) > 1:
        return f'stamps on {topic} jump back again and again: are they of two clocks?'
    if new.get('bad'):
        return f'{new["bad"]} images could not be used'
    if lost > came:
        return (
            f'{lost} of {lost + came} images lost in transport: the shared memory of their sender '
            'is too small for them (config/fastdds.xml), or the network to it too slow'
        )
    if new.get('with bad camera_info'):
        return 'camera_info cannot be used; the log says why'
    return ''


def _trouble_around(situation: Situation) -> str:
    if situation.timeless:
        return 'use_sim_time is set, and nothing has come on /clock'
    if situation.publishers > 1:
        return (
            f'{situation.publishers} publish {situation.topic}: images of several cameras cannot '
            'be one film'
        )
    return ''


def _judge_reconstruction(
    situation: Situation, report: Report, tolerance: float
) -> tuple[bytes, str]:
    if situation.problem:
        return ERROR, situation.problem
    if situation.state != 'active':
        return OK, situation.state
    if report.problem:
        return ERROR if report.failed else WARN, report.problem
    if report.view is None:
        return OK, 'waiting for the first image'
    if report.view.tracking.status == 'lost':
        return ERROR, 'lost: the pose cannot be trusted'
    estimated, calibrated = report.view.input_intrinsics, report.calibrated
    if calibrated is not None:
        ratio = estimated.fx / calibrated.fx
        if abs(ratio - 1) > tolerance:
            return WARN, (
                f'estimated focal length {estimated.fx:.1f} does not fit that of camera_info, '
                f'{calibrated.fx:.1f}: is it of this camera, and of images of this size?'
            )
    return OK, 'tracking'


def _judge_output(situation: Situation, snapshot: Snapshot, timeout: float) -> tuple[bytes, str]:
    age, idle = situation.age, situation.paused or snapshot.silence > timeout
    if situation.state != 'active' or idle or abs(age) <= _OTHER_CLOCK:
        return OK, situation.state
    side = 'before' if age > 0 else 'after'
    return WARN, (
        f'images are stamped {abs(age):.0f} s {side} the time at which they come: by another '
        'clock? (use_sim_time where a recording is played)'
    )


def _input_values(situation: Situation, snapshot: Snapshot) -> dict[str, str]:
    counts = {key: str(snapshot.counts.get(key, 0)) for key in ('received', 'dropped', 'bad')}
    counts |= {key: str(count) for key, count in sorted(snapshot.counts.items())}
    return {
        'topic': situation.topic,
        'rate [Hz]': f'{snapshot.input_rate:.2f}',
        'seconds since the last image': f'{snapshot.silence:.1f}',
        **{f'images {key}': count for key, count in counts.items()},
    }


def _reconstruction_values(situation: Situation, report: Report) -> dict[str, str]:
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    values = {
        'device': situation.device,
        'peak memory [MB]': f'{megabytes:.0f}',
        'epoch': str(situation.epoch),
    }
    view = report.view
    if view is None:
        return values
    values |= {
        'frames in this epoch': str(view.index + 1),
        'tracking': view.tracking.status,
        'inliers': f'{view.tracking.inliers} of {view.tracking.matches}',
        'mean gain': f'{view.health.gain:.4f}',
        'state change': f'{view.health.change:.4f}',
        'state drift': f'{view.health.drift:.4f}',
        'mean confidence': f'{report.confidence:.3f}',
        'estimated focal length [px]': f'{view.input_intrinsics.fx:.1f}',
        'focal spread [%]': f'{100 * view.focal_spread:.2f}',
    }
    if report.calibrated is not None:
        values['calibrated focal length [px]'] = f'{report.calibrated.fx:.1f}'
    return values


def _output_values(situation: Situation, snapshot: Snapshot) -> dict[str, str]:
    values = {
        'rate [Hz]': f'{snapshot.output_rate:.2f}',
        'latency p50 [ms]': f'{1e3 * snapshot.latency[0]:.1f}',
        'latency p99 [ms]': f'{1e3 * snapshot.latency[1]:.1f}',
        'processing p50 [ms]': f'{1e3 * snapshot.processing[0]:.1f}',
        'processing p99 [ms]': f'{1e3 * snapshot.processing[1]:.1f}',
        **{f'messages on {topic}': str(count) for topic, count in situation.sent.items()},
    }
    for name, (median, high) in snapshot.parts.items():
        values |= {
            f'{name} p50 [ms]': f'{1e3 * median:.1f}',
            f'{name} p99 [ms]': f'{1e3 * high:.1f}',
        }
    return values
