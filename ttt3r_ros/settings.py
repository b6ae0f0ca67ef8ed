"""
Settings as dataclass fields that carry their own documentation and limits.

One declaration serves the Python caller, the command line and the ROS parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
import math
from typing import Any, cast


@dataclass(frozen=True)
class Setting:
    """
    What is known of one setting.

    :param default: its type is that of all values
    :param description: one sentence, with the unit
    :param ge: smallest value allowed
    :param le: largest value allowed
    :param choices: the values allowed, if they can be listed
    :param runtime: whether it may change while the node is active
    """

    default: Any
    description: str
    ge: float | None = None
    le: float | None = None
    choices: tuple[str, ...] | None = None
    runtime: bool = False

    def check(self, name: str, value: object) -> None:
        """
        Refuse a value outside the limits.

        :raises ValueError: naming the setting, the value and the limit
        """
        if self.choices is not None and value not in self.choices:
            raise ValueError(f'{name} is {value!r}; choose one of {", ".join(self.choices)}')
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f'{name} is {value}; it must be finite')
        if isinstance(value, (int, float)):
            if self.ge is not None and value < self.ge:
                raise ValueError(f'{name} is {value}; it must be at least {self.ge:g}')
            if self.le is not None and value > self.le:
                raise ValueError(f'{name} is {value}; it must be at most {self.le:g}')


def setting(
    default: Any,
    description: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] | None = None,
    runtime: bool = False,
) -> Any:
    """Declare a dataclass field that is a setting (see `Setting`)."""
    declared = Setting(default, description, ge, le, choices, runtime)
    return field(default=default, metadata={'setting': declared})


def settings_of(config: Any) -> dict[str, Setting]:
    """List the settings of a configuration dataclass (or its type) by name."""
    return {
        item.name: cast(Setting, item.metadata['setting'])
        for item in fields(config)
        if 'setting' in item.metadata
    }


def check_settings(config: Any) -> None:
    """
    Check the types and limits of all settings; for `__post_init__`.

    :raises ValueError: naming the first setting that is wrong
    """
    for name, declared in settings_of(config).items():
        value, expected = getattr(config, name), type(declared.default)
        is_number = expected is float and type(value) is int
        if not is_number and type(value) is not expected:
            raise ValueError(
                f'{name} is {value!r}; a {expected.__name__} is needed, not {type(value).__name__}'
            )
        declared.check(name, value)
