"""`ttt3r demo`: player, node and recorder as processes."""

from pathlib import Path
import re
import subprocess
import sys

from harness import HEIGHT, WIDTH, picture
import numpy as np
from PIL import Image

from ttt3r_ros.io.images import FRAME_RATE
from ttt3r_ros.io.sequence import open_sequence


def test_demo_plays_all_frames_and_leaves_bag_points_trajectory_and_picture(tmp_path, weights):
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    for index in range(6):
        Image.fromarray(picture(index)).save(images / f'{index:03d}.png')
    command = [
        sys.executable,
        '-c',
        'from ttt3r_ros.cli.main import main; raise SystemExit(main())',
    ]
    command += ['demo', str(images), '--out', str(out), '--weights', str(weights)]
    command += ['--set', 'pose_source:=network', '--set', 'max_depth:=0.0']
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=400, cwd=root
    )
    assert done.returncode == 0, done.stderr
    assert 'frames: 6 in, 6 out, 0 dropped' in done.stdout
    assert re.search(r'latency of points: p50 \d+ ms, p99 \d+ ms', done.stdout)
    assert {path.name for path in out.iterdir()} == {
        '.written_by_ttt3r', 'bag', 'points.ply', 'trajectory.txt', 'summary.png'
    }  # fmt: skip
    assert np.loadtxt(out / 'trajectory.txt').shape == (6, 8)
    colors = open_sequence(out / 'bag', topic='/color/image', depth_topic='/depth/image')
    assert len(colors) == 6
    assert colors.has_depth
    info = next(iter(open_sequence(out / 'bag', topic='/color/image'))).image()
    assert abs(info.shape[1] / info.shape[0] - WIDTH / HEIGHT) < 0.2
    stamps = [round(frame.stamp * 1e9) for frame in colors]
    assert stamps == [1, *(round(index / FRAME_RATE * 1e9) for index in range(1, 6))]
