from made_up import gradient, save_png
from make_bag import main
import numpy as np

from ttt3r_ros.io.sequence import open_sequence


def test_any_recording_becomes_a_bag(tmp_path, capsys):
    for number in range(3):
        save_png(tmp_path / f'in/{number}.png', gradient(number))
    bag = tmp_path / 'bag'
    arguments = [str(tmp_path / 'in'), str(bag), '--storage', 'sqlite3', '--max-frames', '2']
    assert main(arguments) == 0
    assert '2 frames' in capsys.readouterr().out
    frames = list(open_sequence(bag))
    assert len(frames) == 2
    np.testing.assert_array_equal(frames[1].image(), gradient(1))
    assert main(arguments) == 1  # it is there already
    assert main([str(tmp_path / 'nowhere'), str(tmp_path / 'b')]) == 1
    assert 'nowhere does not exist' in capsys.readouterr().err


def test_a_made_sequence_becomes_a_bag_with_its_truth(tmp_path):
    assert main(['synthetic:3:3', str(tmp_path / 'bag'), '--stride', '2']) == 0
    sequence = open_sequence(
        tmp_path / 'bag', depth_topic='/camera/depth', pose_topic='/camera/pose'
    )
    assert (len(sequence), sequence.has_poses, sequence.has_depth) == (2, True, True)
