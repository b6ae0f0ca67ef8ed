"""Paths as users write them, and files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import os
from pathlib import Path
from typing import IO


def user_path(path: Path | str) -> Path:
    """Return a path with `~` as the home folder; after `:=` and `--option=` no shell does that."""
    with suppress(RuntimeError):  # a user who does not exist
        return Path(path).expanduser()
    return Path(path)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """
    Open a file for writing that takes its name only when it is complete.

    :param path: its folder must exist; a file of that name is replaced
    :raises OSError: naming the file
    """
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with temporary.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the name must not come to the disk before the content
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # a full disk names none
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
