"""What is measured is what is meant; how long it takes is no test."""

import bench
import pytest
import torch

from ttt3r_ros.benchmark import cases
from ttt3r_ros.benchmark.clock import Clock, Timing, count_flops
from ttt3r_ros.benchmark.stages import Stream, network_stages, noise_images
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.packed import PackedLinear
from ttt3r_ros.model.quantise import Int7Linear, Int8Linear
from ttt3r_ros.model.update_rules import UPDATE_RULES

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def stream():
    network = Network(PRESETS['small']).requires_grad_(False).eval()
    return Stream(network, noise_images(network.config, CPU, torch.float32))


def test_the_cost_of_the_product_is_its_operations():
    clock = Clock(CPU, 5)
    timing = clock.measure(clock._product)
    assert timing.cost == pytest.approx(2 * 768 * 1024 * 4096 / 1e9, rel=0.5)


def test_operations_are_counted():
    a, b = torch.ones(10, 20), torch.ones(20, 30)
    assert count_flops(lambda: a @ b) == pytest.approx(2 * 10 * 20 * 30 / 1e9)


def test_operations_of_packed_and_rounded_matrices_are_counted():
    linear, x = torch.nn.Linear(20, 32), torch.ones(1, 10, 20)
    for layer in (PackedLinear(linear, torch.float32), Int7Linear(linear), Int8Linear(linear)):
        assert count_flops(lambda it=layer: it(x)) == pytest.approx(2 * 10 * 20 * 32 / 1e9)


def test_a_stream_goes_on_and_its_stages_are_parts_of_a_step(stream):
    first, second = stream.step(), stream.step()
    assert not torch.equal(first.points, second.points)
    stages = network_stages(stream)
    counted = {name: count_flops(work) for name, work in stages.items()}
    whole = counted.pop('network step')
    assert counted.pop('network step, replayed') == pytest.approx(whole)
    assert 0.9 * whole < sum(counted.values()) < 1.1 * whole


def test_every_rule_is_measured_against_cut3r():
    rows = cases.rule_rows(Clock(CPU, 1), 'small')
    assert {row['what'] for row in rows} == set(UPDATE_RULES)
    plain = next(row for row in rows if row['what'] == 'cut3r')
    assert float(plain['relative to cut3r']) == pytest.approx(1, abs=0.5)  # a second stream of it


def test_every_precision_is_compared_with_the_first():
    exact, rounded = cases.precision_rows(Clock(CPU, 1), 'small', ['float32', 'int8'])
    assert exact['relative error of points'] == 0
    assert 0 < rounded['relative error of points'] < 1e-3
    assert rounded['relative to float32'] > 0


def test_a_ratio_is_that_of_the_first_to_the_second():
    clock = Clock(CPU, 3)
    a = torch.ones(64, 256, 256)
    assert clock.ratio(lambda: a[:16] @ a[:16], lambda: a @ a) == pytest.approx(0.25, abs=0.15)


def test_the_share_is_operations_by_cost():
    described = cases.row('x', Timing(0.5, 4.0, 8.0), flops=3.0)
    assert described['roofline share'] == 0.75
    assert described['ms'] == 500
    assert described['per second'] == 2


def test_only_the_asked_block_of_the_document_changes(tmp_path):
    page = tmp_path / 'page.md'
    block = '<!-- bench: {} -->\nold\n<!-- end -->\n'
    page.write_text('a\n' + block.format('small') + 'b\n' + block.format('full') + 'c\n')
    bench.fill(page, 'full', 'new')
    text = page.read_text()
    assert text.count('old') == 1
    assert '<!-- bench: full -->\n\nnew\n\n<!-- end -->\nc\n' in text


def test_a_section_is_measured_and_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        'sys.argv', ['bench.py', 'cameras', '--repeats', '1', '--inside', '--out', str(tmp_path)]
    )
    monkeypatch.setitem(
        bench.SECTIONS, 'cameras', (1, lambda c: cases.batch_rows(c, 'small', [2]))
    )
    bench.main()
    assert '2 cameras, each' in bench.page(tmp_path / 'cameras.json')
    monkeypatch.setattr('sys.argv', ['bench.py', 'nothing'])
    with pytest.raises(SystemExit):
        bench.main()
    assert 'nothing' in capsys.readouterr().err
