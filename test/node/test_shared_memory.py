import os

from ttt3r_ros.node.shared_memory import remove_unfinished_segments

FINISHED = b'\2\0\0\0' + bytes(60)


def make(folder, name: str, data: bytes, age: float = 100.0):
    path = folder / name
    path.write_bytes(data)
    at = path.stat().st_mtime - age
    os.utime(path, (at, at))
    return path


def test_segments_that_nobody_will_fill_are_removed(tmp_path):
    empty = make(tmp_path, 'fastdds_port7003', b'')
    begun = make(tmp_path, 'fastrtps_port7411', b'\1\0\0\0' + bytes(60))
    assert set(remove_unfinished_segments(tmp_path)) == {empty, begun}
    assert not list(tmp_path.iterdir())


def test_all_else_stays(tmp_path):
    make(tmp_path, 'fastdds_port7003', FINISHED)
    make(tmp_path, 'fastdds_port7003_el', b'')  # locks are empty
    make(tmp_path, 'fastdds_port7003_sl', b'')
    make(tmp_path, 'fastdds_port7005', b'', age=0.0)  # being created
    make(tmp_path, 'somebody_else', b'')
    (tmp_path / 'fastdds_folder').mkdir()
    before = set(tmp_path.iterdir())
    assert remove_unfinished_segments(tmp_path) == []
    assert set(tmp_path.iterdir()) == before


def test_a_machine_without_shared_memory_is_none_of_our_business(tmp_path):
    assert remove_unfinished_segments(tmp_path / 'missing') == []
