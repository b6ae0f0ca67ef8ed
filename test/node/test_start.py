import pytest

from ttt3r_ros.node import main, memory, sequence_player, shared_memory, topic_recorder


@pytest.fixture
def alone(monkeypatch):
    """Let programs leave the process as it is."""
    monkeypatch.setattr(main, '_on_signals', lambda _: None)
    for module, name in (
        (memory, 'tune_allocator'),
        (memory, 'fill_small_blocks'),
        (shared_memory, 'remove_unfinished_segments'),
        (shared_memory, 'make_room_for_images'),
        (sequence_player, 'make_room_for_images'),
        (topic_recorder, 'make_room_for_images'),
    ):
        monkeypatch.setattr(module, name, lambda: None)


@pytest.mark.parametrize('program', [main, sequence_player, topic_recorder])
def test_a_parameter_file_that_is_none_is_one_line(program, alone, tmp_path):  # noqa: ARG001
    file = tmp_path / 'params.yaml'
    file.write_text('/**:\n  ros__parameters:\n\tvoxel_size: 0.1\n')
    with pytest.raises(SystemExit) as end:
        program.main(['--ros-args', '--params-file', str(file)])
    reason = str(end.value)
    assert str(file) in reason
    assert 'line 2' in reason
    assert '\n' not in reason
