import argparse
from dataclasses import dataclass

import pytest

from ttt3r_ros.cli.options import add_settings, settings_from
from ttt3r_ros.cli.usage import file_path
from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.settings import check_settings, setting


@dataclass(frozen=True)
class Example:
    """An example."""

    speed: float = setting(1.5, 'How fast, at most 100 %.', ge=0.0, le=9.0)
    mode: str = setting('', 'Which way.', choices=('', 'left', 'right'))
    count: int = setting(3, 'How many.')
    on: bool = setting(True, 'Whether at all.')

    def __post_init__(self) -> None:
        check_settings(self)


def parse(*arguments, without=()):
    parser = argparse.ArgumentParser()
    add_settings(parser, 'example', Example, without)
    return parser.parse_args(arguments), parser.format_help()


def test_defaults_and_given_values():
    assert settings_from(parse()[0], Example) == Example()
    given = parse('--speed', '2', '--mode', 'left', '--count', '4', '--no-on')[0]
    assert settings_from(given, Example) == Example(2.0, 'left', 4, False)
    assert settings_from(given, Example, count=7).count == 7


def test_help_tells_description_default_and_choices():
    shown = parse()[1]
    for text in ('example:', 'How fast, at most 100 %. (default: 1.5)', '{left,right}'):
        assert text in ' '.join(shown.split())


def test_settings_can_be_left_out():
    parsed = parse(without=['count'])[0]
    assert not hasattr(parsed, 'count')
    assert settings_from(parsed, Example).count == 3


def test_limits_hold():
    with pytest.raises(Ttt3rError, match='speed is 10'):
        settings_from(parse('--speed', '10')[0], Example)
    with pytest.raises(SystemExit):
        parse('--mode', 'up')


def test_a_tilde_in_a_path_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert file_path('~/results') == tmp_path / 'results'
