"""Command line options out of configuration dataclasses."""

from __future__ import annotations

import argparse
from collections.abc import Collection
import math
from typing import Any, TypeVar

from ttt3r_ros.cli.usage import UsageError
from ttt3r_ros.settings import settings_of

_CAMERA = 'fx,fy,cx,cy in pixels, or fx,fy,cx,cy,k1,k2,p1,p2[,k3[,k4,k5,k6]] of a distorting lens,'
_DISTORTIONS = (0, 4, 5, 8)  # so many numbers, as OpenCV has them

Config = TypeVar('Config')


def add_settings(
    parser: argparse.ArgumentParser, title: str, config: type[Any], without: Collection[str] = ()
) -> None:
    """
    Add an option for each setting of a configuration dataclass.

    :param parser: gets a group of options
    :param title: of the group
    :param config: dataclass whose fields are made by `settings.setting`
    :param without: names of settings that get no option
    """
    group = parser.add_argument_group(title)
    for name, declared in settings_of(config).items():
        if name in without:
            continue
        default = declared.default
        shown = '' if default == '' else f' (default: {default})'
        options: dict[str, Any] = {
            'default': default,
            'help': (declared.description + shown).replace('%', '%%'),
        }
        if isinstance(default, bool):
            options['action'] = argparse.BooleanOptionalAction
        else:
            options.update(type=type(default), choices=declared.choices)
            options['metavar'] = _metavar(default, declared.choices)
        group.add_argument(f'--{name.replace("_", "-")}', **options)


def settings_from(arguments: argparse.Namespace, config: type[Config], **changes: Any) -> Config:
    """
    Build the configuration from parsed options.

    :param changes: settings that shall have another value than the options say
    :raises UsageError: if a value is outside its limits
    """
    names = [name for name in settings_of(config) if hasattr(arguments, name)]
    values = {name: getattr(arguments, name) for name in names}
    try:
        return config(**(values | changes))
    except ValueError as error:
        raise UsageError(str(error)) from error


def parse_camera(text: str) -> tuple[tuple[float, float, float, float], tuple[float, ...]]:
    """
    Read `fx,fy,cx,cy` in pixels, and OpenCV's `k1,k2,p1,p2[,k3[,k4,k5,k6]]` where they follow.

    :return: the four, and the others
    :raises UsageError: if the text is no such camera
    """
    try:
        fx, fy, cx, cy, *distortion = (float(part) for part in text.split(','))
    except ValueError as error:
        raise UsageError(f'--camera is {text!r}; {_CAMERA} is needed') from error
    if len(distortion) not in _DISTORTIONS:
        raise UsageError(f'--camera is {text!r}; {_CAMERA} is needed')
    if not all(math.isfinite(value) for value in (fx, fy, cx, cy, *distortion)):
        raise UsageError(f'--camera is {text!r}; all numbers must be finite')
    if not (fx > 0 and fy > 0):
        raise UsageError(f'--camera is {text!r}; focal lengths must be positive')
    return (fx, fy, cx, cy), tuple(distortion)


def _metavar(default: object, choices: tuple[str, ...] | None) -> str:
    if choices:
        return f'{{{",".join(filter(None, choices))}}}'
    return {int: 'N', float: 'X'}.get(type(default), 'TEXT')
