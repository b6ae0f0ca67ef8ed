import argparse

import numpy as np
import pytest

from ttt3r_ros.cli.inputs import add_input_arguments, open_input, synthetic_sequence
from ttt3r_ros.errors import DatasetError


def test_a_synthetic_sequence_has_everything():
    sequence = synthetic_sequence('synthetic:3:2')
    assert (len(sequence), sequence.has_poses, sequence.has_depth) == (2, True, True)
    first, second = sequence
    image, depth = first.image(), first.depth()
    assert image.shape[:2] == depth.shape == (240, 320)
    assert sequence.intrinsics.width == 320
    assert np.nanmin(depth) > 0
    np.testing.assert_allclose(first.T_world_camera, np.eye(4), atol=1e-12)
    assert second.stamp > first.stamp
    again = synthetic_sequence('synthetic:3:2')
    np.testing.assert_array_equal(again[1].image(), second.image())


@pytest.mark.parametrize('text', ['synthetic:', 'synthetic:x', 'synthetic:1:0', 'synthetic:1:-2'])
def test_other_forms_are_refused(text):
    with pytest.raises(DatasetError, match='SEED'):
        synthetic_sequence(text)


@pytest.mark.parametrize('option', ['--topic', '--depth-topic', '--pose-topic'])
def test_what_is_no_bag_has_no_topics(tmp_path, option):
    (tmp_path / 'video.mp4').touch()
    parser = argparse.ArgumentParser()
    add_input_arguments(parser)
    for name in ('synthetic:1', str(tmp_path), str(tmp_path / 'video.mp4')):
        with pytest.raises(DatasetError, match=f'{name} is no bag: it has no topics .*/camera'):
            open_input(parser.parse_args([name, option, '/camera']))
