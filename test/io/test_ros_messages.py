from types import SimpleNamespace

import cv2
from made_up import gradient
import numpy as np
import pytest

from ttt3r_ros.errors import ImageError
from ttt3r_ros.io import ros_messages

RGB = gradient(3, width=8, height=6)


def message(pixels, encoding, padding=0, big=False):
    """Build an Image; 16 bit pixels are given in this machine's order."""
    if big:
        pixels = pixels.astype(pixels.dtype.newbyteorder('>'))
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    height = len(pixels) * 2 // 3 if encoding.startswith('nv') else len(pixels)
    return SimpleNamespace(
        height=height,
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big),
        step=rows.shape[1],
        data=rows.reshape(-1),
    )


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [
        ('rgb8', RGB),
        ('bgr8', RGB[..., ::-1]),
        ('8UC3', RGB[..., ::-1]),
        ('rgba8', np.concatenate([RGB, RGB[..., :1]], axis=-1)),
        ('bgra8', np.concatenate([RGB[..., ::-1], RGB[..., :1]], axis=-1)),
        ('rgb16', RGB.astype(np.uint16) * 257),
        ('16UC3', RGB[..., ::-1].astype(np.uint16) * 257),
    ],
)
def test_colours_whatever_the_order_and_padding(encoding, pixels, padding):
    np.testing.assert_array_equal(ros_messages.rgb_image(message(pixels, encoding, padding)), RGB)


@pytest.mark.parametrize('big', [False, True])
def test_grey_becomes_three_channels_in_both_byte_orders(big):
    grey = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1300
    rgb = ros_messages.rgb_image(message(grey, 'mono16', big=big))
    assert np.abs(rgb - (grey // 257)[..., None].astype(int)).max() <= 1
    assert ros_messages.rgb_image(message(RGB[..., 0], 'mono8')).shape == (6, 8, 3)


@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'uyvy', 'yuyv', 'bayer_rggb8'])
def test_camera_formats_of_a_uniform_image(encoding):
    if encoding.startswith('nv'):
        pixels = np.full((9, 8), 128, np.uint8)
    elif encoding.startswith('bayer'):
        pixels = np.full((6, 8), 128, np.uint8)
    else:
        pixels = np.full((6, 8, 2), 128, np.uint8)
    rgb = ros_messages.rgb_image(message(pixels, encoding, padding=2))
    assert rgb.shape == (6, 8, 3)
    assert np.abs(rgb.astype(int) - 130).max() <= 3


def test_compressed_colour_and_grey():
    for image in (RGB, RGB[..., 0]):
        _, data = cv2.imencode('.png', image)
        rgb = ros_messages.rgb_image(SimpleNamespace(format='png', data=data.reshape(-1)))
        expected = image[..., ::-1] if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
        np.testing.assert_array_equal(rgb, expected)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize(
    ('bits', 'kind', 'error'), [(8, '.png', 0), (16, '.png', 0), (8, '.jpg', 12), (16, '.jpg', 12)]
)
def test_the_pattern_of_a_colour_filter_is_undone_where_it_was_compressed(
    pattern, bits, kind, error
):
    colors = {'r': 160, 'g': 120, 'b': 100}
    mosaic = np.empty((16, 16), np.uint8)
    for index, color in enumerate(pattern):
        mosaic[index // 2 :: 2, index % 2 :: 2] = colors[color]
    wide = mosaic.astype(np.uint16) * 257 if (bits, kind) == (16, '.png') else mosaic
    _, data = cv2.imencode(kind, wide, [cv2.IMWRITE_JPEG_QUALITY, 100] if kind == '.jpg' else [])
    packed = SimpleNamespace(
        format=f'bayer_{pattern}{bits}; {kind[1:]} compressed ', data=data.reshape(-1)
    )
    rgb = ros_messages.rgb_image(packed)
    assert np.abs(rgb[2:-2, 2:-2].astype(int) - list(colors.values())).max() <= error
    _, data = cv2.imencode('.png', RGB[..., ::-1])  # that of a sender who has undone it
    packed.data = data.reshape(-1)
    np.testing.assert_array_equal(ros_messages.rgb_image(packed), RGB)


def test_what_can_be_no_pattern_of_a_colour_filter_is_refused():
    _, data = cv2.imencode('.tiff', np.zeros((8, 8), np.float32))
    packed = SimpleNamespace(format='bayer_rggb8; tiff compressed', data=data.reshape(-1))
    with pytest.raises(ImageError, match='has no colours'):
        ros_messages.rgb_image(packed)


@pytest.mark.parametrize(
    'change',
    [
        {'data': RGB.reshape(-1)[:-1]},
        {'step': 23},
        {'width': 0},
        {'height': 0},
        {'encoding': 'plaid'},
        {'encoding': '32FC1'},
        {'encoding': '8SC3'},
        {'data': np.empty(0, np.uint8)},
    ],
)
def test_what_does_not_fit_is_refused(change):
    broken = message(RGB, 'rgb8')
    vars(broken).update(change)
    with pytest.raises(ImageError):
        ros_messages.rgb_image(broken)


@pytest.mark.parametrize('kind', ['.jpg', '.png'])
def test_a_compressed_image_in_a_larger_buffer_is_read(kind):
    _, data = cv2.imencode(kind, gradient(1, 200, 200))
    plain, padded = data.tobytes(), data.tobytes() + bytes(4096)
    images = [
        ros_messages.rgb_image(
            SimpleNamespace(format=kind[1:], data=np.frombuffer(given, np.uint8))
        )
        for given in (plain, padded)
    ]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize('kind', ['.jpg', '.png'])
def test_cut_off_compressed_images_are_refused_not_filled_with_grey(kind):
    _, data = cv2.imencode(kind, gradient(1, 200, 200))
    cut = data.reshape(-1)[: data.size * 3 // 4]
    with pytest.raises(ImageError, match='cut off'):
        ros_messages.rgb_image(SimpleNamespace(format=kind[1:], data=cut))


def test_halved_colours_need_even_sizes():
    with pytest.raises(ImageError):
        ros_messages.rgb_image(message(np.zeros((6, 7, 2), np.uint8), 'uyvy'))
    odd = message(np.zeros((9, 8), np.uint8), 'nv12')
    odd.height = 5
    with pytest.raises(ImageError):
        ros_messages.rgb_image(odd)


@pytest.mark.parametrize('data', [b'', b'\xff\xd8 no JPEG'])
def test_compressed_rubbish_is_refused(data):
    with pytest.raises(ImageError):
        ros_messages.rgb_image(SimpleNamespace(format='jpeg', data=data))


def test_depth_in_millimetres_metres_and_compressed():
    millimetres = np.array([[0, 1500], [2000, 65000]], np.uint16)
    metres = np.array([[np.nan, 1.5], [2.0, np.inf]], np.float32)
    nan = np.nan
    expected = [[nan, 1.5], [2.0, 65.0]]
    np.testing.assert_allclose(ros_messages.depth_image(message(millimetres, '16UC1')), expected)
    big = message(millimetres, '16UC1', padding=2, big=True)
    np.testing.assert_allclose(ros_messages.depth_image(big), expected)
    read = ros_messages.depth_image(message(metres, '32FC1'))
    np.testing.assert_allclose(read, [[nan, 1.5], [2.0, nan]])
    _, png = cv2.imencode('.png', millimetres)
    data = np.concatenate([np.zeros(12, np.uint8), png.reshape(-1)])
    packed = SimpleNamespace(format='16UC1; compressedDepth png', data=data)
    np.testing.assert_allclose(ros_messages.depth_image(packed), expected)
    with pytest.raises(ImageError, match='no depth'):
        ros_messages.depth_image(message(RGB, 'rgb8'))


def test_poses_of_all_kinds():
    q = SimpleNamespace(w=0.0, x=0.0, y=0.0, z=2.0)
    p = SimpleNamespace(x=1.0, y=2.0, z=3.0)
    inner = SimpleNamespace(position=p, orientation=q)
    stamped = SimpleNamespace(pose=inner)
    odometry = SimpleNamespace(pose=SimpleNamespace(pose=inner))
    transform = SimpleNamespace(transform=SimpleNamespace(translation=p, rotation=q))
    expected = [[-1, 0, 0, 1], [0, -1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    for kind in (stamped, odometry, transform):
        np.testing.assert_allclose(ros_messages.pose(kind), expected, atol=1e-12)


def test_time_of_recording_replaces_an_empty_stamp():
    def stamped(sec, nanosec):
        stamp = SimpleNamespace(sec=sec, nanosec=nanosec)
        return SimpleNamespace(header=SimpleNamespace(stamp=stamp))

    assert ros_messages.stamp_seconds(stamped(7, 500_000_000), 1) == 7.5
    assert ros_messages.stamp_seconds(stamped(0, 0), 3_250_000_000) == 3.25


def test_rows_without_a_step_or_without_the_last_padding_are_read():
    bare, padded = message(RGB, 'rgb8'), message(RGB, 'rgb8', padding=5)
    bare.step = 0
    padded.data = padded.data[:-5]
    for msg in (bare, padded):
        np.testing.assert_array_equal(ros_messages.rgb_image(msg), RGB)
    padded.data = padded.data[:-1]
    with pytest.raises(ImageError, match='cannot have'):
        ros_messages.rgb_image(padded)


def test_numbers_without_a_range_are_no_colours():
    with pytest.raises(ImageError, match='no colours'):
        ros_messages.rgb_image(message(RGB.astype(np.float32) / 255, '32FC3'))
