"""Command line options out of configuration dataclasses."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any, TypeVar

from ttt3r_ros.cli.usage import UsageError
from ttt3r_ros.settings import settings_of

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


def _metavar(default: object, choices: tuple[str, ...] | None) -> str:
    if choices:
        return f'{{{",".join(filter(None, choices))}}}'
    return {int: 'N', float: 'X'}.get(type(default), 'TEXT')
