from dataclasses import dataclass

import pytest

from ttt3r_ros.settings import check_settings, setting, settings_of


@dataclass(frozen=True, kw_only=True)
class Config:
    rate: float = setting(1.0, 'Hertz.', ge=0.5, le=2.0)
    count: int = setting(1, 'Of things.', ge=1, runtime=True)
    kind: str = setting('a', 'Which.', choices=('a', 'b'))
    flag: bool = setting(False, 'Whether.')

    def __post_init__(self):
        check_settings(self)


def test_limits_types_and_choices_are_named():
    Config(rate=2)
    for wrong, reason in (
        ({'rate': 3.0}, 'rate is 3.0; it must be at most 2'),
        ({'rate': float('nan')}, 'rate is nan; it must be finite'),
        ({'count': 0}, 'count is 0; it must be at least 1'),
        ({'count': 1.5}, 'count is 1.5; a int is needed, not float'),
        ({'count': True}, 'count is True; a int is needed, not bool'),
        ({'kind': 'c'}, "kind is 'c'; choose one of a, b"),
        ({'flag': 1}, 'flag is 1; a bool is needed, not int'),
    ):
        with pytest.raises(ValueError, match=reason):
            Config(**wrong)


def test_settings_carry_their_description():
    assert settings_of(Config)['count'].description == 'Of things.'
    assert settings_of(Config())['count'].runtime
