"""Why a transform cannot be had; the names are tf2's."""


class TransformException(Exception):  # noqa: N818
    """Base class of all transform errors."""


class ConnectivityException(TransformException):
    """The two frames are in different trees."""


class ExtrapolationException(TransformException):
    """The time asked for lies outside what is recorded."""


class InvalidArgumentException(TransformException):
    """A frame name cannot be one."""


class LookupException(TransformException):
    """A frame is not known."""


class TimeoutException(TransformException):
    """The wait for a transform ended without it."""
