import importlib
import os
import signal
import subprocess
import sys

from PIL import Image
import pytest
import torch

from ttt3r_ros.cli.main import main
from ttt3r_ros.model.checkpoint import save_safetensors
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network


def test_known_errors_are_one_line_and_status_1(capsys, tmp_path):
    status = main(['reconstruct', str(tmp_path / 'nowhere'), '--out', str(tmp_path / 'out')])
    captured = capsys.readouterr()
    assert status == 1
    assert captured.err == f'ttt3r: error: {tmp_path / "nowhere"} does not exist\n'
    assert captured.out == ''
    assert not (tmp_path / 'out').exists()


def test_a_name_in_letters_that_the_font_lacks_is_no_warning(capsys, tmp_path):
    image = tmp_path / '\u65e5.png'
    Image.new('RGB', (64, 48)).save(image)
    assert main(['reconstruct', str(image), '--out', str(tmp_path / 'out')]) == 0
    assert 'Glyph' not in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'status', 'message'),
    [
        (['--reset-interval', '1'], 2, 'reset_interval is 1'),
        (['--reset-interval', '-4'], 2, 'must be at least 0'),
        (['--min-confidence', '0.5'], 2, 'min_confidence is 0.5'),
        (['--weights', 'nothing.pth'], 1, 'no such weights file'),
    ],
)
def test_bad_settings_are_one_line(capsys, tmp_path, options, status, message):
    arguments = ['synthetic:1:1', '--out', str(tmp_path / 'out'), *options]
    assert main(['reconstruct', *arguments]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['reconstruct', 'x', '--out', 'y', '--stride', '0'], '0 is not at least 1'),
        (['reconstruct', 'x', '--out', 'y', '--max-frames', '-1'], '-1 is not at least 0'),
        (['reconstruct', 'x', '--out', 'y', '--stride', 'two'], "'two' is no whole number"),
        (['reconstruct', 'x', '--out', ''], 'is a variable of the shell not set?'),
        (['demo', '--out', ''], 'is a variable of the shell not set?'),
        (['evaluate', 'pose', '--root', ''], 'is a variable of the shell not set?'),
        (['evaluate', 'pose', '--out', ''], 'is a variable of the shell not set?'),
        (['demo', '--rate', 'nan'], 'nan is not at least 0'),
        (['demo', '--rate', 'inf'], 'inf is not at most 1000'),
        (['demo', '--rate', 'fast'], "'fast' is no number"),
        (['demo', '--domain', '233'], '233 is not at most 232'),
        (['evaluate', 'pose', '--rooms', '0'], '0 is not at least 1'),
        (['evaluate', 'pose', '--stride', '0'], '0 is not at least 1'),
        (['evaluate', 'pose', '--start', '-1'], '-1 is not at least 0'),
        (['evaluate', 'pose', '--depth-step', '0'], '0 is not at least 1'),
        (['evaluate', 'pose', '--batch', '0'], '0 is not at least 1'),
        (['evaluate', 'pose', '--frames', '0,5'], '0 is not at least 1'),
        (['evaluate', 'pose', '--frames', 'x'], "'x' is no whole number"),
        (['evaluate', 'pose', '--frames', ''], "'' is no whole number"),
        (['evaluate', 'pose', '--size', '640'], "'640' is not of the form WxH"),
        (['evaluate', 'pose', '--size', '640x'], "'' is no whole number"),
        (['evaluate', 'pose', '--size', '0x480'], '0 is not at least 1'),
        (['evaluate', 'pose', '--size', '640x480x3'], 'is not of the form WxH'),
        (['evaluate', 'pose', '--update-rule', ','], 'it must name at least one'),
    ],
)
def test_numbers_and_paths_are_checked(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f'error: argument {arguments[-2]}: ' in last
    assert last.endswith(message)


@pytest.mark.parametrize('arguments', [[], ['fly'], ['reconstruct'], ['convert', 'one']])
def test_wrong_usage_is_status_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_help_lists_the_commands_without_loading_the_network():
    code = (
        'import sys; from ttt3r_ros.cli.main import main\n'
        'try: main(["--help"])\n'
        'except SystemExit as stopped: print("torch" in sys.modules, stopped.code)\n'
    )
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == 'False 0'
    for name in ('reconstruct', 'evaluate', 'demo', 'convert'):
        assert name in run.stdout


COMMAND_WITH_A_PROCESS = """
from pathlib import Path
import signal, sys, tempfile, time

from ttt3r_ros.cli import convert
from ttt3r_ros.cli.main import main
from ttt3r_ros.cli.processes import RosProcesses

def run(arguments):
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        with RosProcesses(Path(folder), 1) as processes:
            processes.start('topic_recorder', {'bag': f'{folder}/bag'})
            print(processes._running['topic_recorder'].pid, flush=True)
            time.sleep(60)

convert.run = run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
sys.exit(main(['convert', 'a.pth', 'b.safetensors']))
"""


@pytest.mark.parametrize(
    ('number', 'status', 'said'),
    [(signal.SIGTERM, 143, 'ttt3r: terminated\n'), (signal.SIGINT, 130, 'ttt3r: interrupted\n')],
)
def test_a_signal_ends_the_processes_of_a_command_and_its_files(tmp_path, number, status, said):
    with subprocess.Popen(
        [sys.executable, '-c', COMMAND_WITH_A_PROCESS, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        child = int(command.stdout.readline())
        command.send_signal(number)
        assert command.stderr.read() == said
        assert command.wait() == status
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_during_the_imports_is_one_line(monkeypatch, capsys):
    def interrupt(_name):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, 'import_module', interrupt)
    assert main(['reconstruct']) == 130
    assert capsys.readouterr().err == 'ttt3r: interrupted\n'


def test_reconstruct_with_a_real_network(tmp_path, capsys):
    torch.manual_seed(0)
    config = PRESETS['small']
    weights = tmp_path / 'random.safetensors'
    save_safetensors(weights, Network(config).state_dict(), config)
    out = tmp_path / 'out'
    arguments = ['reconstruct', 'synthetic:1:3', '--out', str(out), '--weights', str(weights)]
    assert main([*arguments, '--pose-source', 'network', '--reset-interval', '2']) == 0
    said = capsys.readouterr().out
    assert said.startswith('3 frames')
    assert 'ATE' in said
    assert 'AbsRel' in said
    assert len(list((out / 'depth').glob('*.png'))) == 3
