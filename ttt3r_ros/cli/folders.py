"""What a command may replace on disk: results of its own, never the recording that it reads."""

from __future__ import annotations

from pathlib import Path
import re
import shutil

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.images import IMAGE_SUFFIXES

_MARK = 'written_by_ttt3r_demo'  # a file in a bag that may be replaced
_RESULTS_MARK = '.written_by_ttt3r'  # a file in a folder whose results may be replaced
_RESULTS = frozenset({'points.ply', 'trajectory.txt', 'intrinsics.json', 'summary.png', 'depth'})
_DEPTH_IMAGE = re.compile(r'\d{6}\.png')


def make_room_for_bag(bag: Path, recording: str) -> None:
    """
    Remove the bag of an earlier demo.

    :param bag: folder that shall be written
    :param recording: what is read, as given on the command line
    :raises DatasetError: if the two overlap, or the folder is no bag of a demo
    """
    source, target = Path(recording).resolve(), bag.resolve()
    if source == target or target in source.parents or source in target.parents:
        raise DatasetError(
            f'the bag would be written to {bag}, but {recording} is the recording to read; '
            'choose another --out'
        )
    if not bag.exists():
        return
    if not (bag / _MARK).is_file():
        raise DatasetError(
            f'{bag} was not written by ttt3r demo, so it is not replaced; move it away or choose '
            'another --out'
        )
    shutil.rmtree(bag)


def mark_bag(bag: Path) -> None:
    """Mark a bag, if there is one, as one that the next demo may replace."""
    if bag.is_dir():
        (bag / _MARK).touch()


def refuse_recording(folder: Path, recording: str) -> None:
    """
    Refuse a folder for the results of a reconstruction that holds the recording itself.

    :param folder: for results
    :param recording: what is read, as given on the command line
    :raises DatasetError: if it is the folder, or among the depth images in it
    """
    source, depth = Path(recording).resolve(), folder.resolve() / 'depth'
    if source in (depth.parent, depth) or depth in source.parents:
        raise DatasetError(
            f'results would be written to {folder} among the images of {recording}; '
            'choose another --out'
        )


def refuse_foreign(folder: Path) -> None:
    """
    Refuse a folder for results that holds files which no earlier run has left there.

    So are images: a picture that came among them would be part of the next recording.

    :raises DatasetError: naming the first such file
    """
    if not folder.exists() or (folder / _RESULTS_MARK).is_file():
        return
    for path in sorted(folder.iterdir()):
        if path.name in _RESULTS or path.suffix.lower() in IMAGE_SUFFIXES:
            raise DatasetError(
                f'{path} was not written by ttt3r, so no results are written to {folder}; '
                'choose another --out'
            )


def make_results_folder(folder: Path) -> None:
    """Make a folder, and mark it as one whose results the next run may replace."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _RESULTS_MARK).touch()


def make_depth_folder(folder: Path) -> Path:
    """Make the folder `depth` for images by number, and remove those of earlier results."""
    depth = folder / 'depth'
    depth.mkdir(exist_ok=True)
    for path in depth.iterdir():
        if _DEPTH_IMAGE.fullmatch(path.name):
            path.unlink()
    return depth
