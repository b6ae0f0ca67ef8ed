"""When the frames of a recording are due."""

from itertools import islice
from types import SimpleNamespace

import pytest
from rclpy.time import Time

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.frames import Frame
from ttt3r_ros.node import sequence_player
from ttt3r_ros.node.sequence_player import Pace, PlayerConfig, SequencePlayer, timed_frames

RECORDED = [100.0, 100.25, 100.5, 7.0, 7.5, 7.5]


def due(**settings):
    frames = [Frame(index, stamp, lambda: None) for index, stamp in enumerate(RECORDED)]
    timed = timed_frames(frames, PlayerConfig(input='a recording', **settings))
    return [(frame.index, elapsed) for frame, elapsed in timed]


def test_frames_are_due_as_they_were_recorded_and_at_once_where_stamps_go_back():
    assert due() == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.5), (4, 1.0), (5, 1.0)]
    assert due(speed=2.0)[2:] == [(2, 0.25), (3, 0.25), (4, 0.5), (5, 0.5)]


def test_a_rate_and_a_choice_of_frames():
    assert due(rate=4.0, stride=2) == [(0, 0.0), (2, 0.25), (4, 0.5)]
    assert due(stride=2, max_frames=2) == [(0, 0.0), (2, 0.5)]


@pytest.mark.parametrize(('stamp', 'nanoseconds'), [(0.0, 1), (-3.0, 1), (7.25, 7_250_000_000)])
def test_no_frame_is_stamped_as_if_it_had_no_stamp(stamp, nanoseconds):
    assert Frame(0, stamp, lambda: None).nanoseconds == nanoseconds


@pytest.fixture
def play(monkeypatch):
    """Return what a player plays of a recording with an unreadable frame, and what it logs."""
    monkeypatch.setattr(sequence_player.rclpy, 'ok', lambda: True)

    def start(stamps, broken, most=20, **settings):
        def image(frame):
            if frame.index in broken:
                raise DatasetError(f'cannot read the image {frame.index}.png')
            return f'image {frame.index}'

        errors: list[str] = []
        player = SimpleNamespace(
            _sequence=[Frame(index, stamp, lambda: None) for index, stamp in enumerate(stamps)],
            _config=PlayerConfig(input='a recording', **settings),
            _image=image,
            get_logger=lambda: SimpleNamespace(error=errors.append),
        )
        played = [
            (frame.index, due) for frame, _, due in islice(SequencePlayer._rounds(player), most)
        ]
        return played, errors

    return start


def test_a_frame_that_cannot_be_read_is_left_out_and_said(play):
    played, errors = play(RECORDED, {2})
    assert played == [(0, 0.0), (1, 0.25), (3, 0.5), (4, 1.0), (5, 1.0)]
    assert errors == ['left out: cannot read the image 2.png']


def test_a_round_follows_the_one_before_as_another_image_would(play):
    played, _ = play([7.0, 7.25], (), most=5, loop=True)
    assert played == [(0, 0.0), (1, 0.25), (0, 0.5), (1, 0.75), (0, 1.0)]
    played, _ = play([7.0], (), most=3, loop=True)  # a photograph
    assert [due for _, due in played] == pytest.approx([0.0, 1 / 30, 2 / 30])
    played, _ = play([7.0], (), most=3, loop=True, rate=2.0)
    assert [due for _, due in played] == [0.0, 0.5, 1.0]
    played, _ = play([7.0, 7.0], (), most=5, loop=True, rate=4.0)
    assert [due for _, due in played] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_recording_that_cannot_be_read_any_more_is_not_tried_for_ever(play):
    played, errors = play([7.0, 7.25], {0, 1}, loop=True)
    assert not played
    assert len(errors) == 2


def test_a_tilde_in_the_input_is_the_home_folder(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(SystemExit):
        sequence_player.main(['--ros-args', '-p', "input:='~/film.mp4'"])
    assert f'{tmp_path}/film.mp4 does not exist' in capsys.readouterr().err


class Wall:
    """A clock that a test sets."""

    def __init__(self):
        self.time = 1000.0
        self.slept = []

    def now(self):
        return Time(nanoseconds=round(self.time * 1e9))

    def sleep_until(self, until):
        self.slept.append(until.nanoseconds / 1e9)
        self.time = max(self.time, self.slept[-1])


def test_after_a_delay_images_come_at_their_distance_again(monkeypatch):
    wall = Wall()
    monkeypatch.setattr(sequence_player, 'steady_clock', lambda: wall)
    pace, sent = Pace(), []
    for index in range(8):
        if index == 3:
            wall.time += 2.0  # the recording was opened anew
        if index == 6:
            wall.time += 0.07  # which is made up for
        pace.wait(0.05 * index)
        sent.append(round(wall.time - 1000.0, 6))
    assert sent == [0.0, 0.05, 0.1, 2.1, 2.15, 2.2, 2.27, 2.3]
