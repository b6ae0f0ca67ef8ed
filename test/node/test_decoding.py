import os
import sys

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from ttt3r_ros.errors import ImageError
from ttt3r_ros.node import decoding
from ttt3r_ros.node.conversions import fill_bytes
from ttt3r_ros.node.decoding import choose_decoder, compressed_to_rgb, to_rgb

NAME, DECODER = choose_decoder()
HEIGHT, WIDTH = 6, 8


def smooth_rgb() -> np.ndarray:
    """Return an image without fine detail, that survives chroma subsampling and mosaicking."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([60 + 4 * x, 90 + 5 * y, 120 + 2 * x + 2 * y], axis=-1).astype(np.uint8)


def message(pixels: np.ndarray, encoding: str, *, height: int = HEIGHT, pad: int = 0) -> Image:
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=255)
    msg = Image(height=height, width=WIDTH, encoding=encoding, step=rows.shape[1])
    fill_bytes(msg.data, rows)
    return msg


def chroma(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Y, U, V at full resolution, in the range that OpenCV decodes (BT.601, video)."""
    i420 = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    n = HEIGHT * WIDTH
    half = (HEIGHT // 2, WIDTH // 2)
    u, v = i420[n : n + n // 4].reshape(half), i420[n + n // 4 :].reshape(half)
    return i420[:n].reshape(HEIGHT, WIDTH), u, v


def packed_yuv(rgb: np.ndarray, *, luma_first: bool) -> np.ndarray:
    y, u, v = chroma(rgb)
    color = np.empty((HEIGHT, WIDTH), np.uint8)
    color[:, 0::2], color[:, 1::2] = u.repeat(2, 0), v.repeat(2, 0)
    return np.stack([y, color] if luma_first else [color, y], axis=-1)


def semi_planar(rgb: np.ndarray, *, u_first: bool) -> np.ndarray:
    y, u, v = chroma(rgb)
    pairs = np.stack([u, v] if u_first else [v, u], axis=-1).reshape(HEIGHT // 2, WIDTH)
    return np.vstack([y, pairs])


@pytest.mark.parametrize('pad', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'order'),
    [
        ('rgb8', (0, 1, 2)),
        ('bgr8', (2, 1, 0)),
        ('8UC3', (2, 1, 0)),
        ('rgba8', (0, 1, 2, 2)),
        ('bgra8', (2, 1, 0, 2)),
        ('8UC4', (2, 1, 0, 2)),
    ],
)
def test_colour_orders_decode_exactly_whatever_the_row_padding(encoding, order, pad):
    rgb = smooth_rgb()
    msg = message(rgb[..., order], encoding, pad=pad)
    assert np.array_equal(to_rgb(msg, DECODER), rgb)


@pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
def test_grey_becomes_three_equal_channels(encoding):
    grey = smooth_rgb()[..., 0]
    rgb = to_rgb(message(grey, encoding, pad=3), DECODER)
    assert np.array_equal(rgb, np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize('big_endian', [False, True])
def test_sixteen_bits_are_scaled_in_either_byte_order(big_endian):
    grey = smooth_rgb()[..., 0]
    # The lower byte is another than the upper one, or their order would not matter.
    wide = (grey.astype(np.uint16) * 256 + 255 - grey).astype('>u2' if big_endian else '<u2')
    msg = message(wide, 'mono16', pad=2)
    msg.is_bigendian = int(big_endian)
    rgb = to_rgb(msg, DECODER)
    assert np.abs(rgb[..., 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [
        ('uyvy', packed_yuv(smooth_rgb(), luma_first=False)),
        ('yuv422', packed_yuv(smooth_rgb(), luma_first=False)),
        ('yuyv', packed_yuv(smooth_rgb(), luma_first=True)),
        ('yuv422_yuy2', packed_yuv(smooth_rgb(), luma_first=True)),
        ('nv12', semi_planar(smooth_rgb(), u_first=True)),
        ('nv21', semi_planar(smooth_rgb(), u_first=False)),
    ],
)
@pytest.mark.parametrize('pad', [0, 4])
def test_yuv_orders(encoding, pixels, pad):
    rgb = to_rgb(message(pixels, encoding, pad=pad), DECODER)
    assert rgb.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(rgb.astype(int) - smooth_rgb()).max() <= 8


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
def test_bayer_patterns(pattern, bits):
    flat = np.full((HEIGHT, WIDTH, 3), (200, 120, 40), np.uint8)
    mosaic = np.empty((HEIGHT, WIDTH), np.uint8)
    for index, color in enumerate(pattern):
        mosaic[index // 2 :: 2, index % 2 :: 2] = flat[0, 0]['rgb'.index(color)]
    pixels = mosaic if bits == 8 else mosaic.astype(np.uint16) * 257
    rgb = to_rgb(message(pixels, f'bayer_{pattern}{bits}'), DECODER)
    assert np.abs(rgb[2:-2, 2:-2].astype(int) - flat[2:-2, 2:-2]).max() <= 1


def broken(**changes) -> Image:
    msg = message(smooth_rgb(), 'rgb8')
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


@pytest.mark.parametrize(
    ('msg', 'reason'),
    [
        (broken(encoding='32FC1'), '32FC1'),
        (broken(encoding='16UC1', step=WIDTH * 2), '16UC1'),
        (broken(encoding='nonsense'), 'nonsense'),
        (broken(encoding=''), 'encoding'),
        (broken(height=0), 'bytes'),
        (broken(width=0), 'bytes'),
        (broken(height=HEIGHT + 1), 'bytes'),
        (broken(step=WIDTH), 'step'),
        (broken(step=2**32 - 1), 'bytes'),
        (broken(width=2**31, height=2**31), 'bytes'),
        (broken(encoding='uyvy', width=7), 'uyvy'),
    ],
)
def test_messages_that_do_not_fit_their_data_are_refused(msg, reason):
    with pytest.raises(ImageError, match=reason):
        to_rgb(msg, DECODER)


def compressed(data: bytes) -> CompressedImage:
    msg = CompressedImage(format='rgb8; jpeg compressed bgr8')
    fill_bytes(msg.data, np.frombuffer(data, np.uint8))
    return msg


def encode(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def test_compressed_png_is_exact_and_jpeg_is_near():
    rgb = smooth_rgb()
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    assert np.array_equal(compressed_to_rgb(compressed(encode('.png', bgr))), rgb)
    jpeg = compressed_to_rgb(compressed(encode('.jpg', bgr)))
    assert np.abs(jpeg.astype(int) - rgb).max() <= 12


def test_compressed_grey_has_three_channels():
    grey = smooth_rgb()[..., 0]
    assert compressed_to_rgb(compressed(encode('.png', grey))).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_compressed_image_that_is_cut_off_is_refused(suffix):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encode(suffix, noise)
    with pytest.raises(ImageError, match='cut off'):
        compressed_to_rgb(compressed(data[: len(data) // 2]))


@pytest.mark.parametrize('data', [b'', b'no image at all'])
def test_compressed_nonsense_is_refused(data):
    with pytest.raises(ImageError, match=r"format 'rgb8; jpeg compressed bgr8'.*no image$"):
        compressed_to_rgb(compressed(data))


WORKING = """
import numpy as np
class CvBridge:
    def imgmsg_to_cv2(self, msg, encoding):
        rows = np.frombuffer(msg.data, np.uint8)
        return rows.reshape(msg.height, msg.width, 3)[..., ::-1]
"""


def stand_in(monkeypatch, tmp_path, source: str) -> None:
    (tmp_path / 'cv_bridge.py').write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    monkeypatch.delitem(sys.modules, 'cv_bridge', raising=False)


@pytest.mark.parametrize(
    ('body', 'reason'),
    [
        ('raise KeyError(16)', 'KeyError: 16'),
        ('import os; os.abort()', 'ends the process by SIGABRT'),
        ('import os; os.kill(os.getpid(), 11)', 'ends the process by SIGSEGV'),
        ('return __import__("numpy").zeros((1, 2, 3))', 'wrong pixels'),
    ],
)
def test_broken_cv_bridge_is_not_chosen(monkeypatch, tmp_path, body, reason):
    source = f'class CvBridge:\n    def imgmsg_to_cv2(self, msg, encoding):\n        {body}\n'
    stand_in(monkeypatch, tmp_path, source)
    name, decoder = choose_decoder()
    assert name.startswith('rosbags-image (cv_bridge does not work here: ')
    assert reason in name
    assert np.array_equal(to_rgb(message(smooth_rgb(), 'rgb8'), decoder), smooth_rgb())


def test_cv_bridge_that_cannot_be_imported_is_not_chosen(monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, 'raise ImportError("built for another NumPy")')
    assert 'built for another NumPy' in choose_decoder()[0]


def test_cv_bridge_that_does_not_answer_is_not_chosen(monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, 'import time; time.sleep(60)')
    monkeypatch.setattr(decoding, '_PROBE_SECONDS', 1.0)
    assert 'no answer in 1 s' in choose_decoder()[0]


def test_working_cv_bridge_is_chosen(monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, WORKING)
    name, decoder = choose_decoder()
    assert name == 'cv_bridge'
    bgr = np.ascontiguousarray(smooth_rgb()[..., ::-1])
    assert np.array_equal(to_rgb(message(bgr, 'bgr8'), decoder), smooth_rgb())


def test_cv_bridge_is_not_asked_what_it_decodes_wrongly():
    def never(msg):
        raise AssertionError(f'asked for {msg.encoding}')

    for pixels, encoding, pad in (
        (smooth_rgb(), 'rgb8', 5),
        (smooth_rgb(), '8UC3', 0),
        (packed_yuv(smooth_rgb(), luma_first=True), 'yuyv', 0),
        (smooth_rgb()[..., 0].astype(np.uint16), 'mono16', 0),
    ):
        to_rgb(message(pixels, encoding, pad=pad), never)
    with pytest.raises(AssertionError, match='asked for rgb8'):
        to_rgb(message(smooth_rgb(), 'rgb8'), never)
