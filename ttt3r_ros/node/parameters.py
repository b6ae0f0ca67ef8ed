"""Settings (dataclass fields) as ROS parameters: declared, described, read back and checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from ttt3r_ros.settings import Setting, settings_of

Config = TypeVar('Config')

_NO_LIMIT = 1e308  # ranges of ROS need both ends
_NO_INTEGER_LIMIT = 2**31 - 1


def describe(declared: Setting) -> ParameterDescriptor:
    """Build the descriptor of one parameter: description, range, choices, read-only flag."""
    descriptor = ParameterDescriptor(
        description=declared.description, read_only=not declared.runtime
    )
    if declared.choices is not None:
        descriptor.additional_constraints = f'One of: {", ".join(declared.choices)}.'
    if declared.ge is None and declared.le is None:
        return descriptor
    if isinstance(declared.default, float):
        low = -_NO_LIMIT if declared.ge is None else float(declared.ge)
        high = _NO_LIMIT if declared.le is None else float(declared.le)
        limits = FloatingPointRange(from_value=low, to_value=high, step=0.0)
        descriptor.floating_point_range = [limits]
    else:
        first = -_NO_INTEGER_LIMIT if declared.ge is None else int(declared.ge)
        last = _NO_INTEGER_LIMIT if declared.le is None else int(declared.le)
        descriptor.integer_range = [IntegerRange(from_value=first, to_value=last, step=1)]
    return descriptor


class Parameters:
    """
    The parameters of a node, declared from configuration dataclasses.

    A start value that the declaration refuses (wrong type, out of range) does not end the node:
    it is remembered until another is set, and `read` raises it, so that the configure transition
    can give the reason.

    :param node: whose parameters they are
    :param configs: dataclasses with settings (see `ttt3r_ros.settings`); names must be distinct
    """

    def __init__(self, node: Node, configs: Iterable[type[Any]]) -> None:
        self._node = node
        self._settings: dict[str, Setting] = {}
        self._problems: dict[str, str] = {}
        for config in configs:
            for name, declared in settings_of(config).items():
                assert name not in self._settings, f'{name} is a setting of two configurations'
                self._settings[name] = declared
                self._declare(name, declared)

    def _declare(self, name: str, declared: Setting) -> None:
        default, descriptor = declared.default, describe(declared)
        try:
            self._node.declare_parameter(name, default, descriptor)
        except InvalidParameterTypeException as error:
            hint = ' (write a decimal point)' if isinstance(default, float) else ''
            self._problems[name] = f'{name}: a {type(default).__name__} is needed{hint}: {error}'
        except InvalidParameterValueException as error:
            self._problems[name] = f'{name}: {error}'
        if name in self._problems:
            self._node.declare_parameter(name, default, descriptor, ignore_override=True)

    def read(self, config: type[Config]) -> Config:
        """
        Read the present values.

        :param config: one of the dataclasses given before
        :raises ValueError: if a value is not allowed, with the reason
        """
        names = list(settings_of(config))
        problems = [self._problems[name] for name in names if name in self._problems]
        if problems:
            raise ValueError('; '.join(problems))
        return config(**{name: self._node.get_parameter(name).value for name in names})

    def unknown(self) -> list[str]:
        """Return the names of parameters that were given and are none of the node's."""
        given = getattr(self._node, '_parameter_overrides', {})  # rclpy tells them nowhere else
        return sorted(
            name
            for name in given
            if not self._node.has_parameter(name) and not name.startswith('qos_overrides.')
        )

    def differing(self, *configs: Any) -> dict[str, Any]:
        """Return, by name, what can be changed at run time and is not as it was when read."""
        return {
            name: value
            for config in configs
            for name, declared in settings_of(config).items()
            if declared.runtime
            and (value := self._node.get_parameter(name).value) != getattr(config, name)
        }

    def check(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        """Judge changes asked for at run time; for `add_on_set_parameters_callback`."""
        for change in changes:
            declared = self._settings.get(change.name)
            if declared is None:
                continue
            try:
                declared.check(change.name, change.value)
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
        for change in changes:
            self._problems.pop(change.name, None)  # of the start value, which this one replaces
        return SetParametersResult(successful=True)
