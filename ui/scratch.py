"""The folder in which one run of the app keeps what visitors upload and are shown, and which goes with it.

Knows files and gradio's name for the folder. Knows nothing of what lies in it.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from inference.errors import UserError

VARIABLE = "GRADIO_TEMP_DIR"
"""Where gradio reads the folder from."""

_PREFIX = "paligemma-uploads-"


@contextmanager
def own_folder() -> Iterator[Path]:
    """Makes a folder for this run alone, inside the one that the environment names, and deletes it at the end.

    By itself gradio keeps the files of all apps on a machine in one folder, named by their content, and deletes those
    of an app that stops: files that another app still serves among them. Folders of runs that were killed are deleted
    by the next one.

    Raises:
        UserError: The folder cannot be made.
    """
    named = os.environ.get(VARIABLE)
    base = Path(named or tempfile.gettempdir()).resolve()
    folder = base / f"{_PREFIX}{secrets.token_hex(8)}"
    with ExitStack() as kept:
        try:
            base.mkdir(parents=True, exist_ok=True)
            _delete_those_left_behind(base)
            kept.enter_context(FileLock(_lock_of(folder)))
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise UserError(f"No uploads can be kept in {base}: {error}. Name another folder by {VARIABLE}.") from error
        kept.callback(_delete, folder)
        kept.callback(_tell_gradio, named)
        _tell_gradio(str(folder))
        yield folder


def _tell_gradio(folder: str | None) -> None:
    if folder is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = folder


def _delete_those_left_behind(base: Path) -> None:
    for lock in base.glob(f"{_PREFIX}*.lock"):
        with suppress(Timeout, OSError), FileLock(lock).acquire(blocking=False):  # a run that lives holds its lock
            _delete(lock.with_suffix(""))


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")  # beside the folder, where nothing is deleted for its age


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # Windows deletes no file that is open
        _lock_of(folder).unlink()
