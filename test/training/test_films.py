from random import Random

import numpy as np
import pytest
import torch

from ttt3r_ros.errors import TrainingError
from ttt3r_ros.geometry.quaternion import rotate
from ttt3r_ros.training.archive import Archive, _change, _covers
from ttt3r_ros.training.batches import Batch
from ttt3r_ros.training.films import Film, Studio, shoot
from ttt3r_ros.training.settings import FilmSettings

CPU = torch.device('cpu')
SIZES = ((32, 24), (24, 32))


@pytest.fixture(scope='module')
def films() -> list[Film]:
    return [shoot(1, number, 6, SIZES) for number in range(12)]


def test_a_film_depends_on_its_number_alone(films: list[Film]) -> None:
    again = shoot(1, 3, 6, SIZES)
    np.testing.assert_array_equal(again.rgb, films[3].rgb)
    np.testing.assert_array_equal(again.translation, films[3].translation)
    assert not np.array_equal(shoot(2, 3, 6, SIZES[:1]).rgb, shoot(1, 3, 6, SIZES[:1]).rgb)
    assert {film.size for film in films} == set(SIZES)


def test_processes_render_the_same_films_in_order(films: list[Film]) -> None:
    studio = Studio(1, 2, 6, SIZES, processes=2)
    try:
        taken = [studio.take() for _ in range(5)]
    finally:
        studio.close()
    for film, wanted in zip(taken, films[2:7], strict=True):
        np.testing.assert_array_equal(film.rgb, wanted.rgb)
        np.testing.assert_array_equal(film.log_depth, wanted.log_depth)


def test_a_process_that_has_gone_is_told_of() -> None:
    studio = Studio(1, 0, 6, SIZES, processes=1)
    studio._workers[0].terminate()
    studio._workers[0].join()
    for _ in range(studio._shelves[0].qsize()):
        studio.take()
    with pytest.raises(TrainingError, match='is not rendered: its process has gone'):
        studio.take()
    studio.close()


def disagreement(batch: Batch, first: int, second: int) -> torch.Tensor:
    """
    Carry the points of one frame to another; return how much their depth there is off.

    The median over points that stay in sight, so that what moves or is hidden does not count [B].
    """
    height, width = batch.log_depth.shape[-2:]
    x, y = torch.arange(width) - (width - 1) / 2, torch.arange(height) - (height - 1) / 2
    grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)
    errors = []
    for b in range(len(batch.image)):
        depth = batch.log_depth[b, first].exp()
        rays = torch.cat([grid / batch.focal[b], torch.ones(height, width, 1)], -1)
        points = (rays * depth[..., None]).view(-1, 3)
        for frame, sign in ((first, 1), (second, -1)):
            quat = batch.quat_wxyz[b, frame] * torch.tensor([1.0, sign, sign, sign])
            moved = points if sign == 1 else points - batch.translation[b, frame]
            points = rotate(quat.expand(len(points), -1), moved)
            points = points + batch.translation[b, frame] if sign == 1 else points
        place = batch.focal[b] * points[:, :2] / points[:, 2:]
        place = (place + torch.tensor([(width - 1) / 2, (height - 1) / 2])).round().long()
        inside = (points[:, 2] > 0.1) & (place >= 0).all(1)
        inside &= (place[:, 0] < width) & (place[:, 1] < height)
        column, row = place[inside].unbind(1)
        there = batch.log_depth[b, second, row, column]
        errors.append((points[inside, 2].log() - there).abs().median())
    return torch.stack(errors)


def test_mirrored_and_reversed_stretches_have_the_right_poses(films: list[Film]) -> None:
    archive = Archive(1, 20, CPU)
    archive.add(films)
    seen, errors = set(), []
    for step in range(6):
        batch = archive.draw(step, 12, 4)
        seen.add(tuple(batch.image.shape))
        assert float(batch.translation[:, 0].abs().max()) == 0
        torch.testing.assert_close(batch.quat_wxyz[:, 0, 0], torch.ones(12))
        turned = batch.quat_wxyz * torch.tensor([1.0, 1.0, -1.0, -1.0])
        kinds = (
            batch,
            batch._replace(translation=-batch.translation),
            batch._replace(quat_wxyz=turned),
        )
        errors.append(torch.stack([disagreement(kind, 3, 1) for kind in kinds]))
    right, *wrong = torch.cat(errors, 1)
    assert float(right.median()) < 0.02
    for other in wrong:
        assert float(other.mean()) > 1.5 * float(right.mean())
    assert seen == {(12, 4, 3, 24, 32), (12, 4, 3, 32, 24)}


def test_a_draw_can_be_repeated(films: list[Film]) -> None:
    batches = []
    for _ in range(2):
        archive = Archive(1, 20, CPU)
        archive.add(films[:7])
        archive.add(films[7:])
        batches.append(archive.draw(5, 4, 3))
    for one, other in zip(*batches, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not torch.equal(archive.draw(6, 4, 3).focal, batches[0].focal)


def test_the_newest_films_are_kept(films: list[Film]) -> None:
    wide = [film for film in films if film.size == SIZES[0]]
    archive = Archive(1, 2, CPU)
    for film in wide:
        archive.add([film])
    focal = archive.draw(0, 200, 6).focal
    newest = torch.tensor([film.focal for film in wide[-2:]])
    assert set(focal.tolist()) == set(newest.tolist())


def test_what_cannot_be_drawn_is_refused(films: list[Film]) -> None:
    archive = Archive(1, 2, CPU)
    with pytest.raises(ValueError, match='holds no films'):
        archive.draw(0, 1, 1)
    archive.add(films[:1])
    with pytest.raises(ValueError, match='films of 6 frames have no stretch of 7'):
        archive.draw(0, 1, 7)
    with pytest.raises(ValueError, match='films of 8 frames have no stretch of 16'):
        FilmSettings(frames=8, length=16)


def test_colours_change_and_few_frames_are_covered() -> None:
    random = torch.Generator().manual_seed(0)
    image = torch.rand(200, 2, 3, 4, 4, generator=random) * 2 - 1
    changed = _change(image, Random(0), random)
    assert changed.abs().max() <= 1
    grey = ((changed[:, 0].amax(1) - changed[:, 0].amin(1)).amax((1, 2)) < 0.4).float().mean()
    assert 0.03 < float(grey) < 0.2
    covers = _covers(torch.Size((400, 8, 3, 24, 32)), random, CPU)
    hidden = covers.flatten(2).any(2).float()
    assert float(hidden[:, 0].max()) == 0
    assert 0.02 < float(hidden[:, 1:].mean()) < 0.05
