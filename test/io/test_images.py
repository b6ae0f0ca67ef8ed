from made_up import gradient, save_png
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.images import (
    image_size,
    list_images,
    load_depth,
    load_image,
    natural_key,
    open_images,
)


def test_names_sort_by_their_numbers():
    names = ['b10.png', 'b9.png', 'a.png', 'b2x10.png', 'b2x9.png']
    assert sorted(names, key=natural_key) == [
        'a.png',
        'b2x9.png',
        'b2x10.png',
        'b9.png',
        'b10.png',
    ]


def test_names_of_digits_and_of_letters_can_be_compared():
    assert sorted(['x1', '1x', 'x', '1'], key=natural_key)[:2] == ['1', '1x']


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L', 'P'])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / 'image.png'
    Image.fromarray(np.full((4, 6, 3), 153, np.uint8)).convert(mode).save(path)
    image = load_image(path)
    assert (image.shape, image.dtype) == ((4, 6, 3), np.uint8)
    assert np.abs(image.astype(int) - 153).max() <= 3


def test_grey_of_16_bits_is_scaled_not_clipped(tmp_path):
    path = save_png(tmp_path / 'grey.png', np.array([[0, 128 << 8, 65535]], np.uint16))
    np.testing.assert_array_equal(load_image(path)[0, :, 0], [0, 128, 255])


def test_exif_orientation_is_honoured(tmp_path):
    upright = gradient(3, width=16, height=32)
    sideways, exif = Image.fromarray(np.rot90(upright).copy()), Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise
    path = tmp_path / 'phone.png'
    sideways.save(path, exif=exif)
    assert image_size(path) == (16, 32)
    np.testing.assert_array_equal(load_image(path), upright)


def test_damaged_files_are_named(tmp_path):
    whole = save_png(tmp_path / 'whole.png', gradient(1)).read_bytes()
    cut, text = tmp_path / 'cut.png', tmp_path / 'text.png'
    cut.write_bytes(whole[: len(whole) // 2])
    text.write_text('no image at all')
    for path in (cut, text, tmp_path / 'absent.png'):
        with pytest.raises(DatasetError, match=path.name):
            load_image(path)
    with pytest.raises(DatasetError, match=r'text\.png'):
        open_images([text], 'x')
    with pytest.raises(DatasetError, match=r'cut\.png'):
        load_depth(cut, per_metre=1000.0)


def test_depth_in_metres_with_both_marks_of_invalid(tmp_path):
    path = save_png(tmp_path / 'd.png', np.array([[0, 1000, 2500, 65535]], np.uint16))
    np.testing.assert_allclose(load_depth(path, per_metre=1000.0), [[np.nan, 1, 2.5, np.nan]])


def test_a_colour_image_is_no_depth(tmp_path):
    with pytest.raises(DatasetError, match='16 bits'):
        load_depth(save_png(tmp_path / 'c.png', gradient(1)), per_metre=1000.0)


def test_hidden_and_other_files_are_not_listed(tmp_path):
    for name in ('2.PNG', '10.png', '.thumb.png'):
        save_png(tmp_path / name, gradient(1))
    (tmp_path / 'readme.txt').touch()
    assert [path.name for path in list_images(tmp_path)] == ['2.PNG', '10.png']


@pytest.mark.parametrize(
    ('names', 'sizes', 'ordered'),
    [
        (['f1.png', 'f2.png', 'f10.png'], [40, 40, 40], True),
        (['1305.25.png', '1305.75.png'], [40, 40], True),
        (['f1.png', 'f2.png'], [40, 41], False),
        (['kitchen.png', 'stairs.png'], [40, 40], False),
    ],
)
def test_photographs_are_told_from_frames(tmp_path, names, sizes, ordered):
    paths = [
        save_png(tmp_path / name, gradient(1, width=size))
        for name, size in zip(names, sizes, strict=True)
    ]
    assert open_images(paths, 'x').ordered is ordered
    assert open_images(paths, 'x', unordered=True).ordered is False


def test_a_file_that_is_no_image_is_a_frame_that_cannot_be_loaded(tmp_path):
    for index in range(3):
        save_png(tmp_path / f'{index}.png', gradient(index))
    (tmp_path / '1.png').write_bytes(b'no image')
    frames = open_images(list_images(tmp_path), 'three')
    assert (len(frames), frames.ordered) == (3, True)
    np.testing.assert_array_equal(frames[2].image(), gradient(2))
    with pytest.raises(DatasetError, match=r'1\.png: cannot identify'):
        frames[1].image()


def test_a_broken_file_of_another_name_makes_no_photographs_of_frames(tmp_path, caplog):
    for index in range(3):
        save_png(tmp_path / f'{index}.png', gradient(index))
    (tmp_path / 'cover.jpg').write_text('<html>')
    frames = open_images(list_images(tmp_path), 'three and a page')
    assert (len(frames), frames.ordered) == (4, True)
    assert not caplog.text


def test_files_of_which_none_is_an_image_are_refused(tmp_path):
    for index in range(2):
        (tmp_path / f'{index}.png').write_bytes(b'no image')
    with pytest.raises(DatasetError, match=r'0\.png'):
        open_images(list_images(tmp_path), 'two')


def test_the_size_of_a_png_is_read_from_its_header_alone(tmp_path):
    path = save_png(tmp_path / 'large.png', np.zeros((300, 400, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:60])  # the header, and the beginning of its pixels
    assert image_size(path) == (400, 300)


@pytest.mark.parametrize('turned', [True, False])
def test_a_png_may_say_that_it_is_to_be_turned(tmp_path, turned):
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    Image.fromarray(gradient(0)).save(tmp_path / 'it.png', exif=exif)
    assert image_size(tmp_path / 'it.png') == ((30, 40) if turned else (40, 30))


def test_a_png_of_imagemagick_is_turned_as_well(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = b'Exif\x00\x00' + exif.tobytes().removeprefix(b'Exif\x00\x00')
    text = PngInfo()
    text.add_text('Raw profile type exif', f'\nexif\n{len(data):8d}\n{data.hex()}\n')
    Image.fromarray(gradient(0)).save(tmp_path / 'it.png', pnginfo=text)
    height, width, _ = load_image(tmp_path / 'it.png').shape
    assert image_size(tmp_path / 'it.png') == (width, height) == (30, 40)


@pytest.mark.parametrize(
    ('names', 'sizes', 'why'),
    [
        (['a1.png', 'b1.png'], [(40, 30)] * 2, 'names differ'),
        (['a1.png', 'a2.png'], [(40, 30), (30, 40)], 'sizes differ'),
        (['a1.png', 'b2.png'], [(40, 30), (30, 40)], 'sizes and names differ'),
    ],
)
def test_it_is_said_why_images_are_taken_as_photographs(tmp_path, caplog, names, sizes, why):
    for name, (width, height) in zip(names, sizes, strict=True):
        save_png(tmp_path / name, gradient(0, width, height))
    paths = list_images(tmp_path)
    assert not open_images(paths, 'photographs').ordered
    assert why in caplog.text
    caplog.clear()
    assert not open_images(paths, 'photographs', unordered=True).ordered
    assert not caplog.text
