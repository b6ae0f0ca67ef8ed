from __future__ import annotations

import csv
from itertools import pairwise
import json
import warnings

from matplotlib.axes import Axes
import numpy as np
from PIL import Image
import pytest

from ttt3r_ros.evaluation import figures
from ttt3r_ros.evaluation.figures import (
    draw_clouds,
    draw_curves,
    draw_depth_strips,
    draw_trajectories,
)
from ttt3r_ros.evaluation.paper import published
from ttt3r_ros.evaluation.report import (
    curve_table,
    detail_table,
    problem_list,
    spread_table,
    write_csv,
    write_json,
)
from ttt3r_ros.evaluation.results import Result, Score
from ttt3r_ros.evaluation.statistics import summarise


def result(recording, method, *errors, baseline=False, **more) -> Result:
    scores = [Score(10 * (i + 1), 10 * (i + 1), {'ate': e} | more) for i, e in enumerate(errors)]
    return Result(recording, method, baseline, scores)


RESULTS = [
    result('a', 'line', 0.5, 0.6, baseline=True),
    result('a', 'ttt3r', 0.1, 0.2),
    result('b', 'ttt3r', 0.3, 0.6),
]


def test_curves_show_means_and_quartiles():
    assert curve_table(RESULTS, 'ate') == [
        '| ATE [m] | 10 | 20 |',
        '| --- | ---: | ---: |',
        '| ttt3r | 0.200 (0.150–0.250) | 0.400 (0.300–0.500) |',
        '| line | 0.500 | 0.600 |',
    ]


def test_the_spread_and_how_often_a_method_is_ahead():
    results = [
        *(result(str(i), 'cut3r', e, fps=1.0) for i, e in enumerate([1.0, 2.0, 3.0, 4.0])),
        *(result(str(i), 'ttt3r', e, fps=2.0) for i, e in enumerate([0.5, 2.5, 2.0, 1.0])),
        result('0', 'line', 0.1, baseline=True),
    ]
    head, _, *rows = spread_table(results, 10, 'ate')
    assert head == (
        '| ATE [m] | mean | median | least | 1st quartile | 3rd quartile | most '
        '| better than cut3r |'
    )
    assert rows == [
        '| cut3r | 2.500 | 2.500 | 1.000 | 1.750 | 3.250 | 4.000 |  |',
        '| ttt3r | 1.500 | 1.500 | 0.500 | 0.875 | 2.125 | 2.500 | 3 of 4 |',
        '| line | 0.100 | 0.100 | 0.100 | 0.100 | 0.100 | 0.100 | 1 of 1 |',
    ]
    assert spread_table(results, 10, 'fps')[3].endswith('| 4 of 4 |')  # there more is better


def test_details_stand_beside_the_paper():
    table = detail_table(RESULTS, 20, published('pose', 'tum-dynamics', 90, 3))
    assert table[0] == '| method | sequences | ATE [m] |'
    assert table[2] == '| ttt3r | 2 | 0.400 |'
    assert table[3] == '| line | 1 | 0.600 |'
    assert '| TTT3R (paper, online) |  | 0.028 |' in table
    assert '| VGGT (paper, offline) |  | 0.012 |' in table


def test_baselines_show_no_scale():
    results = [result('a', 'ttt3r', 0.1, scale=2.0)]
    results += [result('a', 'line', 0.1, baseline=True, scale=3.0)]
    assert detail_table(results, 10)[2:] == [
        '| ttt3r | 1 | 0.100 | 2.000 |',
        '| line | 1 | 0.100 |  |',
    ]


def test_depth_is_weighted_by_pixels_and_poses_are_not():
    few = result('a', 'm', 1.0, **{'scale/abs_rel': 0.1, 'pixels': 1.0})
    many = result('b', 'm', 2.0, **{'scale/abs_rel': 0.3, 'pixels': 3.0})
    assert summarise([few, many], 'm', 10, 'scale/abs_rel').mean == pytest.approx(0.25)
    assert summarise([few, many], 'm', 10, 'ate').mean == pytest.approx(1.5)


@pytest.mark.parametrize(
    ('task', 'dataset', 'frames', 'stride', 'row'),
    [
        (
            'pose', 'sintel', 50, 1,
            {'ate': 0.201, 'rpe_translation': 0.063, 'rpe_rotation': 0.617},
        ),
        (
            'pose', 'scannet', 90, 3,
            {'ate': 0.064, 'rpe_translation': 0.021, 'rpe_rotation': 0.592},
        ),
        ('pose', 'scannet', 1000, 3, {'ate': 0.406}),
        (
            'depth', 'kitti', 110, 1,
            {'scale/abs_rel': 0.113, 'scale/delta_1': 0.904,
             'metric/abs_rel': 0.110, 'metric/delta_1': 0.891},
        ),
        ('reconstruction', '7scenes', 200, 2, {'accuracy': 0.027, 'completeness': 0.023}),
    ],
)  # fmt: skip
def test_published_numbers_are_found(task, dataset, frames, stride, row):
    found = [p for p in published(task, dataset, frames, stride) if p.method.startswith('TTT3R')]
    assert found[0].values == pytest.approx(row)


def test_other_protocols_are_not_compared_with_the_paper():
    assert published('pose', 'tum-dynamics', 90, 1) == []
    assert published('pose', 'tum-dynamics', 1000, 3) == []
    assert published('pose', 'sequence', 90, 3) == []
    assert published('depth', 'bonn', 100, 1) == []


def test_everything_is_in_the_csv(tmp_path):
    write_csv(tmp_path / 'out.csv', RESULTS)
    with (tmp_path / 'out.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[3] == {
        'recording': 'a', 'method': 'ttt3r', 'frames': '20', 'frames_used': '20', 'ate': '0.2',
    }  # fmt: skip


def test_settings_are_in_the_json(tmp_path):
    write_json(tmp_path / 'out.json', RESULTS, {'weights': 'small (abc)'})
    content = json.loads((tmp_path / 'out.json').read_text())
    assert content['settings'] == {'weights': 'small (abc)'}
    assert content['results'][1]['scores'][0]['values'] == {'ate': 0.1}


def test_problems_are_listed():
    broken = Result('c', 'ttt3r', False, problems=['truncated'])
    assert problem_list([*RESULTS, broken]) == ['- c, ttt3r: truncated']


def picture(path) -> np.ndarray:
    image = np.asarray(Image.open(path).convert('RGB')).astype(int)
    assert min(image.shape[:2]) > 200
    return image


def has_color(image: np.ndarray, rgb: tuple[int, int, int]) -> bool:
    return bool((np.abs(image - rgb).sum(axis=-1) < 30).any())


def test_curves_are_drawn_in_colour_and_baselines_in_grey(tmp_path):
    draw_curves(tmp_path / 'c.png', RESULTS, ['ate'], 'curves')
    image = picture(tmp_path / 'c.png')
    assert has_color(image, (24, 69, 251))
    draw_curves(tmp_path / 'line.png', RESULTS[:1], ['ate'], 'curves')
    assert not has_color(picture(tmp_path / 'line.png'), (24, 69, 251))


def test_values_that_are_all_alike_are_not_at_the_edge(tmp_path):
    draw_curves(tmp_path / 'c.png', [result('a', 'ttt3r', 0.5, 0.5)], ['ate'], 'curves')
    image = picture(tmp_path / 'c.png')
    in_line = np.abs(image - (24, 69, 251)).sum(axis=-1) < 30
    line = (in_line.sum(axis=1) > 100).argmax()
    frame = ((image.max(axis=-1) < 30).sum(axis=1) > 100).argmax()  # the upper edge
    assert line > frame + 10


def test_names_with_dollars_are_no_formulas(tmp_path):
    draw_curves(tmp_path / 'c.png', RESULTS, ['ate'], 'a$_{$')
    depth = np.ones((1, 12, 16), np.float32)
    images = np.zeros((1, 12, 16, 3), np.uint8)
    run = {
        'truth': np.eye(4)[None], 'estimate': np.eye(4)[None], 'images': images, 'depths': depth,
        'true_depths': depth, 'numbers': np.arange(1), 'cloud': np.eye(3), 'true_cloud': np.eye(3),
    }  # fmt: skip
    for draw in (draw_trajectories, draw_depth_strips, draw_clouds):
        draw(tmp_path / 'p.png', {'ttt3r': run}, 'a$_{$')


def test_trajectories_depth_and_clouds_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.tile(np.eye(4), (20, 1, 1))
    truth[:, :3, 3] = rng.normal(size=(20, 3))
    depth = rng.uniform(1, 2, (7, 12, 16)).astype(np.float32)
    depth[:, 0] = np.nan
    cloud = rng.normal(size=(100, 3))
    run = {
        'truth': truth, 'estimate': truth, 'images': np.zeros((7, 12, 16, 3), np.uint8),
        'true_depths': depth, 'depths': np.nan_to_num(depth), 'cloud': cloud, 'true_cloud': cloud,
        'numbers': np.arange(0, 14, 2),
    }  # fmt: skip
    for draw in (draw_trajectories, draw_depth_strips, draw_clouds):
        path = tmp_path / f'{draw.__name__}.png'
        draw(path, {'cut3r': run, 'ttt3r': run}, 'title')
        assert picture(path).std() > 5


def test_numbers_below_narrow_clouds_stand_apart(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(figures, '_save', lambda figure, _: kept.append(figure))
    cloud = np.random.default_rng(0).uniform([-0.5, 0, 1.1], [0.5, 1, 3.1], (1000, 3))
    draw_clouds(tmp_path / 'p.png', {'ttt3r': {'cloud': cloud, 'true_cloud': cloud}}, 'title')
    figure = kept[0]
    figure.draw_without_rendering()
    labels = figure.axes[0].get_xticklabels()
    boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.x0)
    assert len(boxes) > 2
    assert all(left.x1 + 3 < right.x0 for left, right in pairwise(boxes))


def test_every_method_has_a_line_of_its_own(tmp_path, monkeypatch):
    drawn: list[tuple[str, str]] = []

    def plot(_self, *points, color, label, **_):
        if label.startswith('rule'):
            style = next(part for part in points if isinstance(part, str))
            drawn.append((color, style))

    monkeypatch.setattr(Axes, 'plot', lambda self, *a, **k: plot(self, *a, **{'label': ''} | k))
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, :3, 3] = np.random.default_rng(0).normal(size=(5, 3))
    names = [f'rule {index}' for index in range(16)]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # nothing is in the legend
        run = {'truth': poses, 'estimate': poses}
        draw_trajectories(tmp_path / 't.png', dict.fromkeys(names, run), 'title')
        assert len(set(drawn)) == 16
        drawn.clear()
        results = [result('a', name, 0.1, 0.2) for name in names]
        draw_curves(tmp_path / 'c.png', results, ['ate'], 'title')
    assert len(set(drawn)) == 16


def test_strips_show_the_frames_that_all_methods_have(tmp_path):
    def run(numbers: list[int]) -> dict:
        depth = np.ones((len(numbers), 12, 16), np.float32)
        depth += np.reshape(numbers, (-1, 1, 1)) + np.linspace(0, 1, 16, dtype=np.float32)
        images = np.zeros((len(numbers), 12, 16, 3), np.uint8)
        kept = {'images': images, 'true_depths': depth, 'depths': 2 * depth}
        return {**kept, 'numbers': np.array(numbers)}

    path = tmp_path / 'strips.png'
    draw_depth_strips(path, {'whole': run([0, 4, 8, 12]), 'failed': run([0, 2, 4])}, 'title')
    both = picture(path)
    draw_depth_strips(path, {'whole': run([0, 4]), 'failed': run([0, 4])}, 'title')
    np.testing.assert_array_equal(picture(path), both)
    draw_depth_strips(path, {'whole': run([1, 5]), 'failed': run([2])}, 'title')
    assert not path.exists()
