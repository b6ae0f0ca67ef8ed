"""What a command may replace on disk: results of its own, never the recording that it reads."""

from __future__ import annotations

from pathlib import Path
import re
import shutil

from ttt3r_ros.errors import DatasetError

_MARK = 'written_by_ttt3r_demo'  # a file in a bag that may be replaced
_DEPTH_MARK = '.written_by_ttt3r'  # in a folder of depth images that may be replaced
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


def make_depth_folder(folder: Path) -> Path:
    """
    Make the folder `depth` for images by number, and remove those of earlier results.

    :raises DatasetError: if such images are there that are no results
    """
    depth = folder / 'depth'
    depth.mkdir(parents=True, exist_ok=True)
    earlier = [path for path in depth.iterdir() if _DEPTH_IMAGE.fullmatch(path.name)]
    mark = depth / _DEPTH_MARK
    if earlier and not mark.is_file():
        raise DatasetError(
            f'{earlier[0]} was not written by ttt3r reconstruct, so it is not replaced; move '
            f'{depth} away or choose another --out'
        )
    for path in earlier:
        path.unlink()
    mark.touch()
    return depth
