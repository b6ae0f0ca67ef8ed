from dataclasses import replace
from types import SimpleNamespace

import cv2
from made_up import depth_map, gradient, pose
import numpy as np
import pytest
from rosbags.rosbag2 import Writer

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io import bag_writer, bags
from ttt3r_ros.io.bag_writer import (
    DEPTH_TOPIC,
    IMAGE_TOPIC,
    INFO_TOPIC,
    POSE_TOPIC,
    write_bag,
)
from ttt3r_ros.io.sequence import open_sequence

TRUTH = {'depth_topic': DEPTH_TOPIC, 'pose_topic': POSE_TOPIC}


@pytest.fixture(params=['mcap', 'sqlite3'])
def bag(request, tmp_path, recording):
    path = tmp_path / 'bag'
    assert write_bag(path, recording, storage=request.param, camera=recording.intrinsics) == 5
    return path


def storage_file(bag):
    return next(path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))


def test_everything_comes_back(bag, recording):
    sequence = open_sequence(bag, **TRUTH)
    assert (len(sequence), sequence.has_poses, sequence.has_depth) == (5, True, True)
    assert sequence.intrinsics == recording.intrinsics
    frames = list(sequence)  # the bag is closed when they are asked
    assert [frame.stamp for frame in frames] == [100.0 + i / 8 for i in range(5)]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image(), gradient(index))
        np.testing.assert_allclose(frame.depth(), depth_map(index), atol=5e-4)
        np.testing.assert_allclose(frame.T_world_camera, pose(index), atol=1e-9)


def test_truth_is_read_only_where_its_topics_are_named(bag):
    sequence = open_sequence(bag)
    first = next(iter(sequence))
    assert (sequence.has_poses, sequence.has_depth) == (False, False)
    assert (first.T_world_camera, first.depth()) == (None, None)


def test_a_storage_file_alone_and_a_folder_without_metadata(bag):
    assert len(list(open_sequence(storage_file(bag)))) == 5
    (bag / 'metadata.yaml').unlink()
    assert len(list(open_sequence(bag))) == 5


def test_compressed_images(tmp_path, recording):
    write_bag(tmp_path / 'jpeg', recording, jpeg=True)
    frames = list(open_sequence(tmp_path / 'jpeg'))
    assert np.abs(frames[4].image().astype(int) - gradient(4)).mean() < 4


def test_several_image_topics_are_listed(bag, monkeypatch):
    # Depth counts as an image as long as its encoding is not known.
    monkeypatch.setattr('ttt3r_ros.io.ros_messages.is_depth', lambda _: False)
    with pytest.raises(DatasetError, match=f'choose one: {DEPTH_TOPIC}, {IMAGE_TOPIC}'):
        open_sequence(bag)
    assert len(open_sequence(bag, topic=IMAGE_TOPIC)) == 5


def test_wrong_topics_are_named_with_those_there_are(bag):
    with pytest.raises(
        DatasetError,
        match=f'no topic /nothing; of Image or CompressedImage it has .*{IMAGE_TOPIC}',
    ):
        open_sequence(bag, topic='/nothing')
    with pytest.raises(DatasetError, match=f'{POSE_TOPIC} is geometry_msgs/msg/PoseStamped, not'):
        open_sequence(bag, topic=POSE_TOPIC)
    with pytest.raises(DatasetError, match=f'{IMAGE_TOPIC} is sensor_msgs/msg/Image, not'):
        open_sequence(bag, pose_topic=IMAGE_TOPIC)
    with pytest.raises(DatasetError, match=r'16UC1|8 bit|no colours'):
        next(iter(open_sequence(bag, topic=DEPTH_TOPIC))).image()


def test_the_slash_of_a_topic_may_be_left_out(bag, recording):
    sequence = open_sequence(bag, topic=IMAGE_TOPIC[1:], pose_topic=POSE_TOPIC[1:])
    assert sequence.intrinsics == recording.intrinsics
    assert sequence.has_poses


def test_a_bag_without_images(tmp_path):
    write_bag(tmp_path / 'bag', [])
    with pytest.raises(DatasetError, match='no image topic; it has none'):
        open_sequence(tmp_path / 'bag')


def test_depth_and_pose_pair_by_stamp_not_by_number(tmp_path, recording):
    gone = {1, 3}
    frames = [
        frame if frame.index not in gone else
        type(frame)(frame.index, frame.stamp, frame.load_image)
        for frame in recording
    ]  # fmt: skip
    write_bag(tmp_path / 'bag', frames)
    read = list(open_sequence(tmp_path / 'bag', **TRUTH))
    assert [frame.T_world_camera is not None for frame in read] == [
        i not in gone for i in range(5)
    ]
    np.testing.assert_allclose(read[4].depth(), depth_map(4), atol=5e-4)


@pytest.mark.parametrize('share', [0.0, 0.01, 0.3, 0.9])
def test_cut_off_bags_are_named(bag, share):
    file = storage_file(bag)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DatasetError, match=str(bag)):
        list(open_sequence(bag, **TRUTH))


def test_a_bag_whose_own_image_type_lacks_a_field(tmp_path, recording):
    write_bag(tmp_path / 'bag', recording, storage='mcap')
    file = storage_file(tmp_path / 'bag')
    file.write_bytes(file.read_bytes().replace(b'string encoding', b'string encodinx'))
    frame = next(iter(open_sequence(file, topic=IMAGE_TOPIC, depth_topic=DEPTH_TOPIC)))
    for load in (frame.image, frame.depth):
        with pytest.raises(DatasetError, match="no attribute 'encoding'"):
            load()


def test_broken_metadata_are_named(bag):
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information: {version: 5}')
    with pytest.raises(DatasetError, match=str(bag)):
        open_sequence(bag)


def test_the_writer_overwrites_nothing(bag, recording):
    with pytest.raises(DatasetError, match='exists'):
        write_bag(bag, recording)
    with pytest.raises(ValueError, match='storage'):
        write_bag(bag / 'new', recording, storage='tape')


def stamped_images(*times):
    """Images whose headers have the second of each pair of nanoseconds; recorded at the first."""
    for recorded, nanoseconds in times:
        sec, nanosec = divmod(nanoseconds, 1_000_000_000)
        stamp = SimpleNamespace(sec=sec, nanosec=nanosec)
        yield recorded, SimpleNamespace(header=SimpleNamespace(stamp=stamp))


@pytest.mark.parametrize(
    ('times', 'stamps'),
    [
        ([(9_000, 0), (9_100, 100), (9_200, 200)], [0, 100, 200]),  # simulated time
        ([(9_000, 0), (9_100, 8_900), (9_200, 0)], [9_000, 8_900, 9_200]),  # some left empty
        ([(9_000, 0), (9_100, 0), (9_200, 0)], [9_000, 9_100, 9_200]),  # all of them
        ([(9_000, 0)], [9_000]),
        ([], []),
    ],
)
def test_an_empty_stamp_is_zero_where_simulated_time_begins_there(times, stamps):
    dated = list(bags.dated(stamped_images(*times)))
    assert [round(stamp * 1e9) for _, stamp, _ in dated] == stamps
    assert [recorded for recorded, _, _ in dated] == [recorded for recorded, _ in times]


def test_a_recording_from_zero_keeps_its_times(tmp_path, recording):
    frames = [replace(frame, stamp=frame.index / 8) for frame in recording]
    write_bag(tmp_path / 'bag', frames)
    stamps = [frame.stamp for frame in open_sequence(tmp_path / 'bag')]
    assert stamps == [1e-9, *(i / 8 for i in range(1, 5))]


@pytest.fixture
def write_changed(tmp_path, recording, monkeypatch):
    """Write the recording with each topic and message as a function returns them."""

    def write(change, **options):
        made = bag_writer._messages
        monkeypatch.setattr(
            bag_writer, '_messages', lambda *given: [change(*pair) for pair in made(*given)]
        )
        write_bag(tmp_path / 'bag', recording, camera=recording.intrinsics, **options)
        return tmp_path / 'bag'

    return write


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_depth_images_that_were_recorded_at_one_time_are_told_apart(
    tmp_path, recording, monkeypatch, storage
):
    write = Writer.write
    monkeypatch.setattr(
        Writer, 'write', lambda self, topic, time, data: write(self, topic, time // 10**9, data)
    )
    write_bag(tmp_path / 'bag', recording, storage=storage)
    for index, frame in enumerate(open_sequence(tmp_path / 'bag', **TRUTH)):
        np.testing.assert_allclose(frame.depth(), depth_map(index), atol=5e-4)


@pytest.mark.parametrize(
    ('part', 'values'),
    [
        ('orientation', {'x': 0.0, 'y': 0.0, 'z': 0.0, 'w': 0.0}),
        ('orientation', {'w': np.nan}),
        ('position', {'x': np.nan}),
    ],
)
def test_poses_that_are_none_leave_the_others(write_changed, caplog, part, values):
    def change(topic, message):
        if topic != POSE_TOPIC or message.header.stamp.nanosec != 375_000_000:
            return topic, message
        changed = replace(getattr(message.pose, part), **values)
        return topic, replace(message, pose=replace(message.pose, **{part: changed}))

    frames = list(open_sequence(write_changed(change), **TRUTH))
    assert [frame.T_world_camera is None for frame in frames] == [i == 3 for i in range(5)]
    assert f'{POSE_TOPIC}: 1 of 5 poses are not finite: their images have none' in caplog.text


def test_truth_of_another_time_is_told_of(write_changed, caplog):
    def change(topic, message):
        if topic in TRUTH.values():
            stamp = replace(message.header.stamp, sec=7)
            message = replace(message, header=replace(message.header, stamp=stamp))
        return topic, message

    sequence = open_sequence(write_changed(change), **TRUTH)
    assert (sequence.has_poses, sequence.has_depth) == (False, False)
    for topic in TRUTH.values():
        assert f'{topic}: none of 5 lies within 0.02 s of an image' in caplog.text


BENT = [-0.3, 0.05, 0.0, 0.0, 0.0]
LESS = np.array([30.0, 0, 18, 0, 0, 31, 15, 0, 0, 0, 1, 0])  # P


def with_lens(name: str):
    def change(topic, message):
        if topic.startswith(IMAGE_TOPIC):
            return f'/camera/{name}', message
        if topic == INFO_TOPIC:
            message = replace(message, p=LESS, d=np.array(BENT))
        return topic, message

    return change


def flat(image: np.ndarray, **flags) -> np.ndarray:
    lens, camera = np.array([[35.0, 0, 19.5], [0, 35, 14.5], [0, 0, 1]]), LESS.reshape(3, 4)
    tables = cv2.initUndistortRectifyMap(
        lens, np.array(BENT), None, camera, (40, 30), cv2.CV_32FC1
    )
    return cv2.remap(image, *tables, **flags)


@pytest.mark.parametrize(
    ('name', 'jpeg', 'bent'),
    [
        ('image_raw', False, True),
        ('image_rectangle', False, True),
        ('image_rect', False, False),
        ('image_rect_color/compressed', True, False),
    ],
)
def test_images_become_those_that_p_describes_or_are_so_by_their_topic(
    write_changed, name, jpeg, bent
):
    sequence = open_sequence(write_changed(with_lens(name), jpeg=jpeg), **TRUTH)
    assert sequence.intrinsics.matrix.ravel().tolist() == [30, 0, 18, 0, 31, 15, 0, 0, 1]
    image = next(iter(sequence)).image().astype(int)
    raw = gradient(0)
    expected = flat(raw, interpolation=cv2.INTER_LINEAR) if bent else raw
    seen = sequence.seen(40, 30)
    assert np.abs(image - expected)[slice(None) if seen is None else seen].mean() < 3
    assert (np.abs(image - raw).mean() > 3.5) == bent


def test_depth_is_undistorted_with_the_image_and_nothing_is_made_up(write_changed):
    sequence = open_sequence(write_changed(with_lens('image_raw')), **TRUTH)
    depth = next(iter(sequence)).depth()
    seen = sequence.seen(40, 30)
    assert 0.3 < seen.mean() < 1
    expected = flat(depth_map(0), interpolation=cv2.INTER_NEAREST)
    same = np.isclose(depth, expected, atol=5e-4, equal_nan=True)
    assert same[seen].mean() > 0.97  # tables are rounded to 1/32 of a pixel
    assert np.isnan(depth[0, 0])


def test_images_are_left_as_they_are_where_that_is_asked_for(write_changed):
    sequence = open_sequence(write_changed(with_lens('image_raw')), undistort=False)
    assert sequence.intrinsics.fx == 35.0
    assert sequence.seen(40, 30) is None
    np.testing.assert_array_equal(next(iter(sequence)).image(), gradient(0))


def test_a_camera_that_fits_no_image_is_told_of_and_left_aside(write_changed, caplog):
    def change(topic, message):
        return topic, replace(message, k=np.zeros(9)) if topic == INFO_TOPIC else message

    sequence = open_sequence(write_changed(change))
    assert sequence.intrinsics is None
    np.testing.assert_array_equal(next(iter(sequence)).image(), gradient(0))
    assert caplog.text.count(f'{INFO_TOPIC} is left aside: camera_info is not calibrated') == 1
