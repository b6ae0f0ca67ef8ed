from dataclasses import replace
from types import SimpleNamespace

from made_up import depth_map, gradient, pose
import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io import bags
from ttt3r_ros.io.bag_writer import DEPTH_TOPIC, IMAGE_TOPIC, POSE_TOPIC, write_bag
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
