from made_up import gradient, save_png
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.sequence import open_sequence


def test_a_folder_of_images(tmp_path):
    for number in (1, 2, 10):
        save_png(tmp_path / f'{number}.png', gradient(number))
    sequence = open_sequence(tmp_path)
    assert [frame.image()[0, 0, 2] for frame in sequence] == [20, 40, 200]
    assert sequence.ordered
    assert not open_sequence(str(tmp_path), unordered=True).ordered


def test_a_single_image(tmp_path):
    sequence = open_sequence(save_png(tmp_path / 'one.png', gradient(1)))
    assert (len(sequence), sequence.name) == (1, 'one')


def test_missing_and_empty_things_are_named(tmp_path):
    with pytest.raises(DatasetError, match='nowhere does not exist'):
        open_sequence(tmp_path / 'nowhere')
    with pytest.raises(DatasetError, match='it is empty'):
        open_sequence(tmp_path)
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(DatasetError, match=r'it holds notes\.txt'):
        open_sequence(tmp_path)
