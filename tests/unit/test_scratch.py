"""The folder of uploads: of one run alone, private, and gone with it, whatever way the run ends."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from inference.errors import UserError
from ui.scratch import VARIABLE, own_folder

RUN = """
import sys
from ui.scratch import own_folder
with own_folder() as folder:
    (folder / "picture.png").write_text("of a stranger")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the environment names; it is made when it is needed."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "uploads"))
    return tmp_path / "uploads"


def begin() -> tuple[subprocess.Popen[str], Path]:
    """Another run of the app, and the folder that it has."""
    run = subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    return run, Path(run.stdout.readline().strip())


def test_a_run_has_a_private_folder_that_goes_with_it(base: Path) -> None:
    with own_folder() as folder:
        assert folder.is_relative_to(base)
        assert os.environ[VARIABLE] == str(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "deep").mkdir()
        (folder / "deep" / "picture.png").touch()
    assert os.environ[VARIABLE] == str(base)
    assert list(base.iterdir()) == []


def test_one_run_leaves_the_files_of_another_alone(base: Path) -> None:
    run, other = begin()
    with own_folder() as folder:
        assert folder != other
    assert (other / "picture.png").exists()
    run.communicate("")
    assert run.returncode == 0
    assert list(base.iterdir()) == []


def test_what_a_killed_run_left_is_deleted_by_the_next_one(base: Path) -> None:
    run, left = begin()
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert (left / "picture.png").exists()
    (base / "paligemma-uploads-of-mine").mkdir()
    with own_folder() as folder:
        assert set(base.glob("*/")) == {folder, base / "paligemma-uploads-of-mine"}


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "uploads"))
    with pytest.raises(UserError, match="Name another folder by GRADIO_TEMP_DIR"), own_folder():
        pass
