from dataclasses import replace
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from safetensors import safe_open
import torch

from ttt3r_ros.errors import CheckpointError
from ttt3r_ros.model.checkpoint import load_network, save_safetensors
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.mobile import MobileStem
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.training.batches import _mix_colours, train_batch
from ttt3r_ros.training.curves import draw_curves
from ttt3r_ros.training.initialise import new_network
from ttt3r_ros.training.run import TrainingRun, train
from ttt3r_ros.training.saved import settings_of_run
from ttt3r_ros.training.settings import CURRICULUM, Phase, TrainingSettings, phase_at
from ttt3r_ros.training.unroll import unroll
from ttt3r_ros.training.validation import HeldOut

TINY = (Phase(1, (1,), 4, ((32, 24),), 1e-3), Phase(0, (2,), 4, ((32, 24),), 5e-4))
SETTINGS = TrainingSettings(log_steps=1, warmup=0)
SHIPPED = Path(__file__).parents[2] / 'ttt3r_ros/weights/small.safetensors'


@pytest.fixture(autouse=True)
def _tiny_curriculum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('ttt3r_ros.training.settings.CURRICULUM', TINY)


def test_a_resumed_run_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    through = TrainingRun(tmp_path / 'through', SETTINGS)
    stopped = TrainingRun(tmp_path / 'stopped', SETTINGS)
    for _ in range(3):
        through.train_step()
    for _ in range(2):
        stopped.train_step()
    stopped.save()
    resumed = TrainingRun(tmp_path / 'stopped', SETTINGS)
    assert resumed.step == 2
    resumed.train_step()
    for name, weights in through.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], weights, rtol=0, atol=0)
    for name, average in through.average.items():
        torch.testing.assert_close(resumed.average[name], average, rtol=0, atol=0)
    assert resumed.frames == through.frames


def test_training_saves_logs_and_stops(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    train(run, lambda: run.step >= 2)
    assert run.checkpoint.is_file()
    lines = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    assert [line['step'] for line in lines] == [1, 2]
    assert {'total', 'depth', 'rays', 'rate', 'seconds'} <= lines[0].keys()
    assert 'turn' not in lines[0]
    assert 'turn' in lines[1]


def test_a_file_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    (tmp_path / 'PAUSE').touch()
    rests: list[float] = []
    monkeypatch.setattr('time.sleep', rests.append)
    train(run, lambda: len(rests) >= 3)
    assert run.step == 0


def test_exported_weights_load_and_tell_their_story(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    run.train_step()
    path = tmp_path / 'small.safetensors'
    run.export(path)
    network = load_network(path)
    assert network.config == PRESETS['small']
    for name, weights in network.named_parameters():
        torch.testing.assert_close(weights, run.average[name].half().float())
    with safe_open(path, framework='pt') as file:
        assert file.metadata()['steps'] == '1'
        assert file.metadata()['frames'] == '4'


def test_the_mean_with_earlier_weights_is_exported(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    run.train_step()
    run.export(tmp_path / 'earlier.safetensors')
    earlier = {name: average.half().float() for name, average in run.average.items()}
    run.train_step()
    path = tmp_path / 'mean.safetensors'
    run.export(path, tmp_path / 'earlier.safetensors')
    moved = 0.0
    for name, weights in load_network(path).named_parameters():
        wanted = (run.average[name] + earlier[name]) / 2
        torch.testing.assert_close(weights, wanted.half().float())
        moved = max(moved, float((wanted - earlier[name]).abs().max()))
    assert moved > 1e-5
    with safe_open(path, framework='pt') as file:
        assert (file.metadata()['steps'], file.metadata()['mean_with_steps']) == ('2', '1')
    other = replace(PRESETS['small'], motion_alignment=False)
    save_safetensors(path, Network(other).state_dict(), other, {'steps': '1'})
    with pytest.raises(ValueError, match='another network'):
        run.export(tmp_path / 'no.safetensors', path)


def test_the_rate_warms_up_and_falls(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, TrainingSettings(warmup=10))
    assert run.rate() == pytest.approx(1e-4)
    run.step = 100
    assert run.rate() == pytest.approx(5e-4)
    run.anneal = (100, 200)
    run.step = 150
    assert run.rate() == pytest.approx(2.5e-4)
    run.step = 200
    assert run.rate() == 0


def test_phases_follow_each_other() -> None:
    assert [phase_at(step) for step in (0, 1, 10**6)] == [TINY[0], TINY[1], TINY[1]]
    assert CURRICULUM[-1].steps == 0


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    phase = TINY[1]
    first = train_batch(1, 5, phase)
    train_batch(1, 6, phase)
    again = train_batch(1, 5, phase)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert first.image.shape == (2, 2, 3, 24, 32)
    assert not torch.equal(first.image, train_batch(2, 5, phase).image)
    assert -1 <= first.image.min() < first.image.max() <= 1


def test_some_batches_are_grey_and_others_have_their_colours_swapped() -> None:
    batch = train_batch(1, 6, Phase(1, (1,), 2, ((64, 48),), 1e-3))
    assert not torch.equal(batch.image[:, :, 0], batch.image[:, :, 2])
    mixed = [_mix_colours(batch, Random(seed)) for seed in range(400)]
    grey = [m for m in mixed if torch.equal(m.image[:, :, 0], m.image[:, :, 2])]
    assert 20 < len(grey) < 60
    for one in grey:
        torch.testing.assert_close(one.image[:, :, :1], batch.image.mean(2, keepdim=True))
    swapped = sum(not torch.equal(m.image, batch.image) for m in mixed) - len(grey)
    assert 60 < swapped < 130  # one order in six is the old one
    assert all(torch.equal(m.log_depth, batch.log_depth) for m in mixed)


def test_first_predictions_are_sane() -> None:
    network = new_network('small', 1)
    out = unroll(network, torch.rand(1, 2, 3, 48, 64) * 2 - 1, 'ttt3r')
    out = type(out)(*(part.detach() for part in out))
    assert 0.5 < float(out.points[..., 2].median()) < 5
    assert float(out.translation.norm(dim=-1).max()) < 0.5
    assert float(out.quat_wxyz[..., 0].min()) > 0.9


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(ValueError, match='preset'):
        new_network('huge', 1)


def test_the_first_phase_leaves_the_decoder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(TINY[1], recurrent=False)
    monkeypatch.setattr('ttt3r_ros.training.settings.CURRICULUM', (first,))
    run = TrainingRun(tmp_path, SETTINGS)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    parts = run.train_step()
    assert parts['turn'] > 0  # poses are scored, at rest
    changed = {
        name.split('.')[0]
        for name, p in run.network.named_parameters()
        if not torch.equal(p, before[name])
    }
    assert {'patch_embed', 'enc_blocks', 'decoder_embed', 'downstream_head'} <= changed
    assert not changed & {'dec_blocks', 'dec_blocks_state', 'pose_retriever', 'motion'}


@torch.no_grad()
def test_unrolling_is_stepping() -> None:
    network = new_network('small', 2).eval()
    image = torch.rand(2, 3, 3, 48, 64) * 2 - 1
    joint = unroll(network, image, 'ttt3r')
    state = network.initial_state(2)
    for t in range(3):
        prediction, state = network.step(image[:, t], state, UPDATE_RULES['ttt3r'])
        torch.testing.assert_close(joint.points[:, t], prediction.points, rtol=1e-4, atol=1e-4)
    alone = unroll(network, image, 'ttt3r', reset=True)
    torch.testing.assert_close(alone.points[:, 0], joint.points[:, 0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(alone.points[:, 2], joint.points[:, 2])


def test_validation_scores_and_curves_are_drawn(tmp_path: Path) -> None:
    figures = HeldOut(2, 3, (32, 24), 2).evaluate(new_network('small', 1).eval(), 'ttt3r')
    assert 0.1 < figures['absrel_single'] < 3
    assert figures['position_share'] > 0.2
    assert 0 < figures['ate_share'] < 2
    log = tmp_path / 'log.jsonl'
    line = {
        'step': 1,
        'frames': 1000,
        'error': 0.4,
        **{f'held_out_{k}': v for k, v in figures.items()},
    }
    log.write_text(json.dumps(line) + '\n')
    draw_curves(log, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').stat().st_size > 5000


def test_a_run_goes_on_from_exported_weights_elsewhere(tmp_path: Path) -> None:
    first = TrainingRun(tmp_path / 'first', SETTINGS)
    first.train_step()
    first.export(tmp_path / 'small.safetensors')
    second = TrainingRun(tmp_path / 'second', SETTINGS)
    second.start_from(tmp_path / 'small.safetensors')
    assert (second.step, second.frames) == (first.step, first.frames)
    for name, weights in second.network.named_parameters():
        torch.testing.assert_close(weights, first.average[name].half().float())
    with pytest.raises(ValueError, match='is at step 1 already'):
        second.start_from(tmp_path / 'small.safetensors')


@pytest.mark.parametrize(
    ('other', 'anew', 'step'),
    [
        ({'motion_alignment': False}, ('motion.known', 'pose_head.mlp.fc2'), 3),
        ({'stem': 'conv', 'encoder_depth': 3}, ('patch_embed',), 0),
    ],
    ids=['without alignment', 'another stem'],
)
def test_weights_of_another_network_give_what_both_have(
    other: dict[str, Any], anew: tuple[str, ...], step: int, tmp_path: Path
) -> None:
    config = replace(PRESETS['small'], **other)
    old = Network(config).state_dict()
    told = {'steps': '3', 'frames': '96', 'core_hours': '0.5'}
    save_safetensors(tmp_path / 'other.safetensors', old, config, told)
    run = TrainingRun(tmp_path / 'run', SETTINGS)
    new = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    run.start_from(tmp_path / 'other.safetensors')
    assert (run.step, run.frames, run.seconds) == (step, 96, 1800)
    for name, weights in run.network.state_dict().items():
        kept = not any(part in name for part in anew)
        torch.testing.assert_close(weights, old[name] if kept else new[name])
    assert run.network.config == PRESETS['small']


def test_the_pretrained_part_of_the_stem_stays_as_it_is(tmp_path: Path) -> None:
    trunk = load_network(SHIPPED).patch_embed.trunk.state_dict()
    run = TrainingRun(tmp_path, SETTINGS)
    for _ in range(2):
        run.train_step()
    assert isinstance(run.network.patch_embed, MobileStem)
    for name, weights in run.network.patch_embed.trunk.state_dict().items():
        torch.testing.assert_close(weights, trunk[name], rtol=0, atol=0)
        torch.testing.assert_close(
            run.average[f'patch_embed.trunk.{name}'], weights, rtol=1e-6, atol=1e-6
        )
    assert run.network.patch_embed.proj.weight.grad is not None


def test_a_file_without_the_pretrained_part_is_named(tmp_path: Path) -> None:
    config = replace(PRESETS['small'], stem='conv')
    path = tmp_path / 'conv.safetensors'
    save_safetensors(path, Network(config).state_dict(), config)
    with pytest.raises(ValueError, match=r'conv.safetensors: without the pretrained part.*stem$'):
        new_network('small', 1, path)


def test_the_truth_has_the_size_that_the_network_works_on() -> None:
    phase = TINY[1]
    plain, fine = train_batch(1, 5, phase), train_batch(1, 5, phase, detail=2)
    assert fine.image.shape == (2, 2, 3, 48, 64)
    assert fine.log_depth.shape == plain.log_depth.shape
    torch.testing.assert_close(fine.focal, plain.focal)
    torch.testing.assert_close(fine.translation, plain.translation)
    assert float((fine.log_depth - plain.log_depth).abs().median()) < 0.01


def test_what_goes_on_warms_up_again_and_keeps_its_decay(tmp_path: Path) -> None:
    settings = TrainingSettings(warmup=4)
    first = TrainingRun(tmp_path / 'first', settings)
    first.step = 10
    first.export(tmp_path / 'small.safetensors')
    assert first.rate() == pytest.approx(5e-4)
    second = TrainingRun(tmp_path / 'second', settings)
    second.start_from(tmp_path / 'small.safetensors')
    assert second.rate() == pytest.approx(5e-4 / 4)
    second.anneal = (10, 20)
    second.step = 15
    second.save()
    resumed = TrainingRun(tmp_path / 'second', settings)
    assert resumed.rate() == second.rate() == pytest.approx(5e-4 / 2)


def test_a_run_remembers_what_it_began_with(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, TrainingSettings(seed=5, ema=0.9))
    run.save()
    kept = settings_of_run(tmp_path, {})
    assert (kept.seed, kept.ema) == (5, 0.9)
    with pytest.raises(ValueError, match=r'was begun with seed 5, not 7; leave that out'):
        settings_of_run(tmp_path, {'seed': 7})
    with pytest.raises(ValueError, match=r'was begun with ema 0.9, not 0.998'):
        TrainingRun(tmp_path, TrainingSettings(seed=5))
    assert TrainingRun(tmp_path, replace(kept, log_steps=7)).settings.log_steps == 7


def test_checkpoints_that_do_not_tell_their_settings_are_resumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    run.save()
    saved = torch.load(run.checkpoint, weights_only=True)
    del saved['settings']
    torch.save({**saved, 'step': 4}, run.checkpoint)
    with caplog.at_level('INFO'):
        assert TrainingRun(tmp_path, settings_of_run(tmp_path, {'seed': 7})).step == 4
    assert 'taken to be of preset small, seed 7, faster 1' in caplog.text
    with pytest.raises(ValueError, match="holds another network than 'golden_small'"):
        TrainingRun(tmp_path, TrainingSettings(preset='golden_small'))


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04', b'\x80\x02}.'])
def test_damaged_checkpoints_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'checkpoint.pt').write_bytes(content)
    with pytest.raises(CheckpointError, match=r'checkpoint.pt: damaged, or not of a training run'):
        TrainingRun(tmp_path, SETTINGS)


def test_a_checkpoint_of_something_else_is_named(tmp_path: Path) -> None:
    torch.save({'model': torch.zeros(1)}, tmp_path / 'checkpoint.pt')
    with pytest.raises(CheckpointError, match=r'checkpoint.pt: not of a training run'):
        TrainingRun(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('network', 1),
        ('step', 'one'),
        ('settings', 7),
        ('settings', {'unheard_of': 1}),
        ('optimiser', []),
    ],
)
def test_a_checkpoint_of_other_content_is_named(tmp_path: Path, name: str, value: object) -> None:
    whole: dict[str, object] = {'network': {}, 'average': {}, 'optimiser': {}}
    whole |= {'step': 1, 'frames': 0, 'seconds': 0.0, name: value}
    torch.save(whole, tmp_path / 'checkpoint.pt')
    with pytest.raises(CheckpointError, match=r'checkpoint.pt: not of a training run'):
        TrainingRun(tmp_path, SETTINGS)


def test_a_checkpoint_without_the_optimisers_memory_is_named(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    run.save()
    saved = torch.load(run.checkpoint, weights_only=True)
    torch.save({**saved, 'optimiser': {}}, run.checkpoint)
    with pytest.raises(ValueError, match='holds another network'):
        TrainingRun(tmp_path, SETTINGS)


def test_a_run_does_not_start_from_another_network(tmp_path: Path) -> None:
    path = tmp_path / 'other.safetensors'
    save_safetensors(path, {}, PRESETS['golden_small'])
    with pytest.raises(ValueError, match='another network'):
        TrainingRun(tmp_path / 'run', SETTINGS).start_from(path)
    save_safetensors(path, {'one': torch.zeros(1)}, PRESETS['small'])
    with pytest.raises(ValueError, match='does not tell how it was trained'):
        TrainingRun(tmp_path / 'run', SETTINGS).start_from(path)


def test_the_shipped_weights_are_of_the_preset_that_training_goes_on_with(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, TrainingSettings())
    run.start_from(SHIPPED)
    assert run.step > 0
