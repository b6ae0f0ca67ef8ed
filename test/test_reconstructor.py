"""The stateful class, with tiny random networks and without tracking unless said."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from tiny import TINY
import torch

from ttt3r_ros.devices import choose_device, choose_precision
from ttt3r_ros.errors import ImageError, ReconstructionError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.model.checkpoint import save_safetensors
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.preprocess import to_tensor
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig
from ttt3r_ros.tracking.pnp import PnpTracker

PINHOLE = replace(TINY, points='pinhole')


def build(config=PINHOLE):
    torch.manual_seed(4)
    return Network(config).requires_grad_(False).eval()


@pytest.fixture
def images():
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (7, 6, 8, 3), np.uint8)
    return list(small.repeat(8, axis=1).repeat(8, axis=2))  # mere noise is no view


def grainy_ramp():
    """Return an image that shows something, but no lines [480, 640, 3]."""
    grain = np.random.default_rng(0).integers(0, 128, (480, 640, 3), np.uint8)
    return grain + np.linspace(0, 127, 640).astype(np.uint8)[:, None]


def reconstruct(images, network=None, **settings):
    reconstructor = Reconstructor(ReconstructorConfig(**settings), network or build())
    return [reconstructor.add(image) for image in images]


def test_views_are_the_network_stepped_by_hand(images):
    network = build()
    views = reconstruct(images, network)
    state = network.initial_state(1)
    for view, image in zip(views, images, strict=True):
        tensor = to_tensor([image], torch.device('cpu'), torch.float32)
        seen, state = network.step(tensor, state, UPDATE_RULES['ttt3r'])
        np.testing.assert_allclose(view.points, seen.points[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(view.confidence, seen.confidence[0], rtol=1e-5)
        np.testing.assert_allclose(view.T_world_camera[:3, 3], seen.translation[0], atol=1e-5)
        np.testing.assert_array_equal(view.depth, view.points[..., 2])
        np.testing.assert_array_equal(view.image, image)
        assert view.tracking.status == 'network'


def test_reset_interval_feeds_the_overlap_twice_and_chains(images):
    """By hand, every 3 frames: 0 to 2 are a part; 2 again to 5 the next, relative to frame 2."""
    chunked = reconstruct(images, reset_interval=3)
    parts = [reconstruct(images[:3]), reconstruct(images[2:6]), reconstruct(images[5:])]
    T_world_part = np.eye(4)
    for start, part in zip((0, 2, 5), parts, strict=True):
        for a, b in list(zip(chunked[start:], part, strict=False))[start > 0 :]:
            wanted = T_world_part @ b.T_world_camera
            np.testing.assert_allclose(a.T_world_camera, wanted, atol=1e-5)
            np.testing.assert_allclose(a.points, b.points, rtol=1e-4, atol=1e-5)
        T_world_part = T_world_part @ part[-1].T_world_camera


def test_images_that_may_not_change_the_state_do_not_count_for_a_reset(images):
    reconstructor = Reconstructor(ReconstructorConfig(reset_interval=3), build())
    for image in images[:2]:
        reconstructor.add(image)
    state = reconstructor._state
    for image in images[2:6]:
        view = reconstructor.add(image, update=False)
    assert torch.equal(reconstructor._state.tokens, state.tokens)
    assert view.index == 5
    reconstructor.add(images[6])  # the third that counts
    assert reconstructor._chunk_frames == 0


def test_no_reset_comes_with_an_image_that_may_not_change_the_state(images):
    reconstructor = Reconstructor(network=build())
    for image in images[:3]:
        reconstructor.add(image)
    reconstructor.change(reset_interval=2)
    state = reconstructor._state
    reconstructor.add(images[3], update=False)
    assert torch.equal(reconstructor._state.tokens, state.tokens)
    reconstructor.add(images[4])
    assert reconstructor._chunk_frames == 0


def test_a_lost_image_tells_what_it_took(images):
    reconstructor = Reconstructor(network=build(PRESETS['small']))
    reconstructor.add(images[0])
    dark = reconstructor.add(np.zeros_like(images[0]))
    assert dark.tracking.status == 'lost'
    assert dark.tracking.unseen
    assert dark.durations.network > 0


def test_a_lost_image_does_not_claim_to_have_changed_the_state(images):
    reconstructor = Reconstructor(network=build())
    assert reconstructor.add(images[0]).health.gain > 0
    dark = reconstructor.add(np.zeros_like(images[0]))
    assert (dark.health.gain, dark.health.change) == (0.0, 0.0)


def test_reset_forgets_everything(images):
    reconstructor = Reconstructor(network=build(PRESETS['small']))
    first = [reconstructor.add(image) for image in images[:3]]
    reconstructor.reset()
    again = [reconstructor.add(image) for image in images[:3]]
    for a, b in zip(first, again, strict=True):
        assert a.index == b.index
        np.testing.assert_array_equal(a.points, b.points)
        np.testing.assert_array_equal(a.T_world_camera, b.T_world_camera)
        assert a.input_intrinsics == b.input_intrinsics


def test_a_frame_without_update_leaves_no_trace(images):
    looked = Reconstructor(network=build())
    for index, image in enumerate(images[:4]):
        view = looked.add(image, update=index != 2)
    wanted = reconstruct([images[0], images[1], images[3]])[-1]
    np.testing.assert_allclose(view.points, wanted.points, rtol=1e-5, atol=1e-6)


def test_world_points_come_from_the_world_head_when_asked(images):
    reconstructor = Reconstructor(network=build())
    assert reconstructor.add(images[0]).world_points is None
    view = reconstructor.add(images[1], world=True)
    assert view.world_points.shape == view.points.shape
    assert not np.allclose(view.world_points, view.points_world())


def test_changing_the_rule_keeps_the_state(images):
    switched = Reconstructor(ReconstructorConfig(update_rule='filt3r'), build())
    for image in images[:3]:
        switched.add(image)
    before = switched._state.tokens.clone()
    switched.change(update_rule='brake')
    assert torch.equal(switched._state.tokens, before)
    assert switched.add(images[3]).health.gain < 1
    with pytest.raises(ValueError, match='update_rule'):
        switched.change(update_rule='none')
    before = switched.config
    with pytest.raises(ValueError, match='reset_interval'):
        switched.change(reset_interval=1, update_rule='cut3r')
    assert switched.config == before


def test_a_state_that_explodes_starts_anew_where_it_was(images):
    reconstructor = Reconstructor(network=build())
    views = [reconstructor.add(image) for image in images[:3]]
    reconstructor._state = reconstructor._state._replace(
        tokens=torch.full_like(reconstructor._state.tokens, torch.nan)
    )
    with pytest.raises(ReconstructionError, match='not finite'):
        reconstructor.add(images[3])
    after = reconstructor.add(images[4])
    (fresh,) = reconstruct([images[4]])
    wanted = views[-1].T_world_camera @ fresh.T_world_camera
    np.testing.assert_allclose(after.T_world_camera, wanted, atol=1e-5)


def test_after_an_explosion_the_network_goes_on_where_the_tracker_saw_it_last(images):
    network = build(PRESETS['small'])
    reconstructor = Reconstructor(ReconstructorConfig(upright='off'), network)
    track, told = reconstructor._tracker.add, []

    def add(*arguments, **options):
        told.append(arguments[5])
        found = track(*arguments, **options)
        elsewhere = found.T_world_camera.copy()
        elsewhere[0, 3] += 1.0
        return replace(found, T_world_camera=elsewhere)

    reconstructor._tracker.add = add
    for image in images[:3]:
        reconstructor.add(image)
    reconstructor._state = reconstructor._state._replace(
        tokens=torch.full_like(reconstructor._state.tokens, torch.nan)
    )
    with pytest.raises(ReconstructionError, match='not finite'):
        reconstructor.add(images[3])
    reconstructor.add(images[4])
    (fresh,) = reconstruct([images[4]], network, pose_source='network')
    np.testing.assert_allclose(told[3], told[2] @ fresh.T_world_camera, atol=1e-5)


def test_preparing_ahead_in_another_thread_changes_nothing(images):
    network = build(PRESETS['small'])
    wanted = reconstruct(images, network)
    ahead = Reconstructor(network=network)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ahead.prepare, images[0])
        for index, view in enumerate(wanted):
            prepared = waiting.result()
            if index + 1 < len(images):
                waiting = pool.submit(ahead.prepare, images[index + 1])
            found = ahead.add(prepared)
            np.testing.assert_array_equal(found.points, view.points)
            np.testing.assert_array_equal(found.T_world_camera, view.T_world_camera)
            assert found.input_intrinsics == view.input_intrinsics


def test_the_world_head_is_loaded_only_when_wanted(images, tmp_path):
    path = tmp_path / 'w.safetensors'
    save_safetensors(path, build().state_dict(), PINHOLE)
    plain = Reconstructor(ReconstructorConfig(weights=str(path)))
    assert plain.add(images[0], world=True).world_points is None
    config = ReconstructorConfig(weights=str(path), world_head=True)
    assert Reconstructor(config).add(images[0], world=True).world_points is not None


def test_a_bad_image_changes_nothing(images):
    disturbed = Reconstructor(network=build())
    for image in images[:2]:
        disturbed.add(image)
    with pytest.raises(ImageError):
        disturbed.add(np.zeros((0, 0, 3), np.uint8))
    wanted = reconstruct(images[:3])[-1]
    np.testing.assert_array_equal(disturbed.add(images[2]).points, wanted.points)


@pytest.mark.parametrize(
    ('wrong', 'told'),
    [
        ({'width': 32, 'height': 24}, 'of 32x24 pixels; one of 64x48 is needed'),
        ({'height': 47}, 'of 64x47 pixels; one of 64x48 is needed'),
        ({'fx': 0.0}, 'fx 0.0'),
        ({'fy': -60.0}, 'fy -60.0'),
        ({'fx': np.nan}, 'fx nan'),
        ({'fy': np.inf}, 'fy inf'),
        ({'cx': np.nan}, 'cx nan'),
        ({'cy': -np.inf}, 'cy -inf'),
        ({'fx': 0.9}, 'fx 0.9'),  # in parts of the image's width
        ({'fy': 1e12}, 'fy 1000000000000'),
        ({'cx': -1e9}, 'cx -1'),
    ],
)
def test_a_camera_that_the_image_is_not_from_changes_nothing(images, wrong, told):
    network, camera = build(PRESETS['small']), Intrinsics.centred(64, 48, 60.0)
    disturbed, plain = Reconstructor(network=network), Reconstructor(network=network)
    for image in images[:2]:
        disturbed.add(image, camera=camera)
        plain.add(image, camera=camera)
    with pytest.raises(ImageError, match=told):
        disturbed.add(images[2], camera=replace(camera, **wrong))
    found, wanted = (one.add(images[2], camera=camera) for one in (disturbed, plain))
    assert found.index == wanted.index
    np.testing.assert_array_equal(found.points, wanted.points)
    np.testing.assert_array_equal(found.T_world_camera, wanted.T_world_camera)


def test_the_size_may_change(images):
    reconstructor = Reconstructor(network=build(PRESETS['small']))
    reconstructor.add(images[0])
    view = reconstructor.add(np.ascontiguousarray(np.rot90(images[1])))
    assert view.points.shape == (64, 48, 3)


def test_intrinsics_are_those_of_the_points_and_of_the_input():
    network = build(PRESETS['small'])
    image = grainy_ramp()
    view = Reconstructor(ReconstructorConfig(pose_source='network'), network).add(image)
    slopes = view.points[..., :2] / view.points[..., 2:]
    np.testing.assert_allclose(slopes, view.intrinsics.rays()[..., :2], rtol=1e-4, atol=1e-5)
    expected = view.mapping.to_input(view.intrinsics)
    assert view.input_intrinsics.fx == pytest.approx(expected.fx, rel=1e-6)
    assert view.input_intrinsics.cx == pytest.approx(319.5)


def test_known_intrinsics_replace_the_estimate():
    network = build(PRESETS['small'])
    image = grainy_ramp()
    camera = Intrinsics(640, 480, 500.0, 510.0, 300.0, 250.0)
    plain = Reconstructor(ReconstructorConfig(pose_source='network'), network)
    known = Reconstructor(ReconstructorConfig(pose_source='network'), network)
    estimated, calibrated = plain.add(image), known.add(image, camera=camera)
    assert calibrated.intrinsics == calibrated.mapping.to_output(camera)
    np.testing.assert_allclose(calibrated.depth, estimated.depth, rtol=1e-6)
    slopes = calibrated.points[..., :2] / calibrated.points[..., 2:]
    np.testing.assert_allclose(slopes, calibrated.intrinsics.rays()[..., :2], rtol=1e-4, atol=1e-5)


def test_settings_are_checked():
    for wrong in ({'reset_interval': 1}, {'update_rule': 'x'}, {'pose_source': 'gps'}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ReconstructorConfig(**wrong)
    for device in ('tpu', 'meta', 'cuda:77'):
        with pytest.raises(ValueError, match='device'):
            choose_device(device)
    with pytest.raises(ValueError, match='float16'):
        choose_precision('float16', torch.device('cpu'))
    assert choose_precision('auto', torch.device('cpu')) == torch.float32
    assert choose_precision('int8', torch.device('cpu')) == torch.float32
    with pytest.raises(ValueError, match='int8'):
        choose_precision('int8', torch.device('cuda'))


@pytest.mark.parametrize('told', [{}, {'amx_bf16': False}, {'amx_bf16': True}])
def test_auto_is_bfloat16_for_wide_networks_where_the_processor_has_units_for_it(
    told, monkeypatch
):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: told, raising=False)
    expected = torch.bfloat16 if told.get('amx_bf16') else torch.float32
    wide, narrow = PRESETS['cut3r_512_dpt'], PRESETS['small']
    assert choose_precision('auto', torch.device('cpu'), wide=wide.is_wide) == expected
    assert choose_precision('int8', torch.device('cpu'), wide=wide.is_wide) == expected
    assert choose_precision('auto', torch.device('cpu'), wide=narrow.is_wide) == torch.float32
    assert choose_precision('float32', torch.device('cpu'), wide=True) == torch.float32


@pytest.mark.parametrize('faster', [True, False])
def test_bfloat16_is_computed_in_float32_where_that_is_faster(faster, monkeypatch):
    monkeypatch.setattr('ttt3r_ros.devices.bfloat16_is_faster', lambda: faster)
    expected = torch.bfloat16 if faster else torch.float32
    assert choose_precision('bfloat16', torch.device('cpu'), wide=True) == expected
    assert choose_precision('bfloat16', torch.device('cpu')) == torch.bfloat16


@pytest.mark.parametrize(
    ('generation', 'dtype'), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)]
)
def test_auto_takes_bfloat16_only_on_gpus_that_multiply_it(monkeypatch, generation, dtype):
    asked = []
    monkeypatch.setattr(
        torch.cuda, 'get_device_capability', lambda device: asked.append(device) or generation
    )
    assert choose_precision('auto', torch.device('cuda:1')) == dtype
    assert asked == [torch.device('cuda:1')]


@pytest.mark.parametrize('order', [('float32', 'bfloat16'), ('bfloat16', 'float32')])
def test_a_network_in_use_is_not_changed_below_its_user(images, order):
    network = build()
    (first,) = reconstruct(images[:1], network, precision=order[0])
    with pytest.raises(ValueError, match=f'made ready for {order[0]}'):
        Reconstructor(ReconstructorConfig(precision=order[1]), network)
    (again,) = reconstruct(images[:1], network, precision=order[0])
    np.testing.assert_array_equal(again.points, first.points)


def test_a_wide_network_is_computed_as_auto_says(images, monkeypatch):
    monkeypatch.setattr('ttt3r_ros.devices.multiplies_bfloat16', lambda: True)
    monkeypatch.setattr('ttt3r_ros.model.config._NARROW', 0)
    wide = Reconstructor(ReconstructorConfig(pose_source='network'), build())
    assert wide.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in wide.network.parameters()} == {torch.bfloat16}
    exact = Reconstructor(ReconstructorConfig(precision='float32'), build())
    assert exact.dtype == torch.float32
    assert np.isfinite(wide.add(images[0]).points).all()


def test_bfloat16_is_close_to_float32(images):
    exact = reconstruct(images[:3])[-1]
    rounded = reconstruct(images[:3], precision='bfloat16')[-1]
    assert rounded.points.dtype == np.float32
    error = np.linalg.norm(rounded.points - exact.points) / np.linalg.norm(exact.points)
    assert 0 < error < 0.1


def test_int8_is_close_to_float32_and_leaves_the_network_alone(images, monkeypatch):
    monkeypatch.setattr('ttt3r_ros.model.lean.LARGE', 0)
    network = build()
    exact = reconstruct(images[:3], network)[-1]
    rounded = reconstruct(images[:3], network, precision='int8')[-1]
    error = np.linalg.norm(rounded.points - exact.points) / np.linalg.norm(exact.points)
    assert 0 < error < 0.1
    np.testing.assert_array_equal(reconstruct(images[:3], network)[-1].points, exact.points)


def test_depth_is_corrected_by_the_tracked_landmarks(monkeypatch):
    """Landmarks at twice the network's depth, and an aligned scale, double it everywhere."""
    image = grainy_ramp()
    network = build(PRESETS['small'])
    raw = Reconstructor(ReconstructorConfig(align_depth=False), network).add(image)
    column, row = np.meshgrid(np.arange(4, 60, 4), np.arange(4, 44, 4))
    pixels = np.stack([column.ravel(), row.ravel()], -1)
    known = 2.0 * raw.depth[pixels[:, 1], pixels[:, 0]].astype(float)
    tracked = replace(
        PnpTracker().add(image, *given(raw)),
        depth_scale=1.5,
        landmark_pixels=pixels.astype(float),
        landmark_depth=known,
        landmark_sigma=np.full(len(known), 0.05),
    )
    monkeypatch.setattr(PnpTracker, 'add', lambda *_, **__: tracked)
    view = Reconstructor(network=network).add(image)
    assert view.depth_scale == 1.5
    np.testing.assert_allclose(view.depth, 2.0 * raw.depth, rtol=0.1)


def test_the_focal_length_follows_the_motion_unless_it_is_known(monkeypatch):
    image = grainy_ramp()
    network = build(PRESETS['small'])
    raw = Reconstructor(ReconstructorConfig(align_depth=False), network).add(image)
    tracked = replace(PnpTracker().add(image, *given(raw)), focal_scale=1.2)
    asked = []

    def add(*_, calibrated):
        asked.append(calibrated)
        return tracked

    monkeypatch.setattr(PnpTracker, 'add', add)
    monkeypatch.setattr(PnpTracker, 'focal_scale', lambda *_: 1.2)
    view = Reconstructor(ReconstructorConfig(align_depth=False), network).add(image)
    assert view.input_intrinsics.fx == pytest.approx(1.2 * raw.input_intrinsics.fx)
    rays = view.intrinsics.rays()
    np.testing.assert_allclose(view.points, rays * view.depth[..., None], atol=1e-5)
    np.testing.assert_allclose(view.depth, 1.2**0.6 * raw.depth, rtol=1e-5)
    monkeypatch.setattr(PnpTracker, 'focal_scale', lambda *_: pytest.fail('it is known'))
    Reconstructor(network=network).add(image, camera=raw.input_intrinsics)
    assert asked == [False, True]


def test_depth_grows_with_the_focal_length_beyond_the_networks():
    """Things of the size that the network sees are farther away in a longer lens."""
    image = grainy_ramp()
    network = build(PRESETS['small'])
    raw = Reconstructor(ReconstructorConfig(align_depth=False), network).add(image)
    same, longer = (
        Reconstructor(ReconstructorConfig(align_depth=False), network).add(
            image, camera=raw.input_intrinsics.zoomed(factor)
        )
        for factor in (1.0, 2.0)
    )
    np.testing.assert_allclose(same.depth, raw.depth, rtol=1e-5)
    np.testing.assert_allclose(longer.depth, 2.0**0.6 * raw.depth, rtol=1e-5)
    slopes = longer.points[..., :2] / longer.points[..., 2:]
    np.testing.assert_allclose(slopes, longer.intrinsics.rays()[..., :2], rtol=1e-4, atol=1e-5)


def test_depth_follows_the_focal_length_that_motion_told(monkeypatch):
    image = grainy_ramp()
    network = build(PRESETS['small'])
    plain = Reconstructor(ReconstructorConfig(align_depth=False), network)
    first, second = (plain.add(image).depth for _ in range(2))
    scales = iter((1.0, 1.5))
    monkeypatch.setattr(PnpTracker, 'focal_scale', lambda *_: next(scales))
    tracked = PnpTracker().add(image, *given(plain.add(image)))
    monkeypatch.setattr(PnpTracker, 'add', lambda *_, **__: tracked)
    scales = iter((1.0, 1.5))
    told = Reconstructor(ReconstructorConfig(align_depth=False), network)
    np.testing.assert_allclose(told.add(image).depth, first, rtol=1e-5)
    np.testing.assert_allclose(told.add(image).depth, 1.5**0.6 * second, rtol=1e-5)


def given(view):
    return view.points, view.confidence, view.mapping, view.input_intrinsics, view.T_world_camera
