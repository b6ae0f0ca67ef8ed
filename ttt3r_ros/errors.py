"""Errors that callers may want to handle: bad data, as opposed to bad settings (`ValueError`)."""


class Ttt3rError(Exception):
    """Base class of everything this package raises about data it was given."""


class CheckpointError(Ttt3rError):
    """A weights file is missing, truncated, unsafe, or made for another network."""


class ImageError(Ttt3rError):
    """An image cannot be used: wrong encoding, size, step, or amount of data."""


class DatasetError(Ttt3rError):
    """A recording (folder, video or bag) cannot be read, or lacks what was asked for."""


class CalibrationError(Ttt3rError):
    """A calibration file cannot be read, or describes no camera."""


class ReconstructionError(Ttt3rError):
    """The network's output cannot be used: not finite, or the state has exploded."""


class TrainingError(Ttt3rError):
    """A process that training needs has gone."""
