import cv2
from made_up import gradient
import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.sequence import open_sequence


@pytest.fixture(params=['clip.avi', 'clip.mp4'])
def clip(request, tmp_path):
    path = tmp_path / request.param
    code = cv2.VideoWriter.fourcc(*('MJPG' if path.suffix == '.avi' else 'mp4v'))
    writer = cv2.VideoWriter(str(path), code, 10.0, (64, 48))
    for seed in range(12):
        writer.write(cv2.cvtColor(gradient(seed, 64, 48), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_all_frames_in_order_with_their_times(clip):
    sequence = open_sequence(clip)
    frames = list(sequence)
    assert len(sequence) == len(frames) == 12
    assert (sequence.name, sequence.ordered, sequence.has_poses) == ('clip', True, False)
    np.testing.assert_allclose([f.stamp for f in frames], np.arange(12) / 10, atol=1e-3)
    assert [f.index for f in frames] == list(range(12))


def test_colours_are_rgb_and_frames_outlive_the_reading(clip):
    frames = list(open_sequence(clip))
    for seed in (0, 11):
        difference = frames[seed].image().astype(int) - gradient(seed, 64, 48)
        assert np.abs(difference).mean() < 6


def test_a_colon_in_the_name_is_no_protocol(clip, monkeypatch):
    name = clip.rename(clip.with_name(f'2026-11-29T10:30:00{clip.suffix}')).name
    monkeypatch.chdir(clip.parent)
    assert len(list(open_sequence(name))) == 12


def test_may_be_read_twice(clip):
    sequence = open_sequence(clip)
    next(iter(sequence))
    assert len(list(sequence)) == 12


def test_cut_off_video_gives_what_it_has_and_tells_how_much_that_is(tmp_path, caplog):
    path = tmp_path / 'clip.mkv'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10.0, (64, 48))
    for seed in range(12):
        writer.write(gradient(seed, 64, 48))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames = list(open_sequence(path))
    assert 0 < len(frames) < 12
    assert f'{len(frames)} of 12 frames could be decoded' in caplog.text
    for frame in frames:
        assert frame.image().shape == (48, 64, 3)


@pytest.mark.parametrize('content', [b'', b'no video'])
def test_no_video_is_named(tmp_path, content):
    path = tmp_path / 'broken.mp4'
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r'broken\.mp4'):
        open_sequence(path)
