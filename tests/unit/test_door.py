"""What uploads pass: refused where they do not fit, cleaned, and deleted in time, whatever broke off."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.running import run
from ui.door import UploadDoor, is_full, sweep


def age(path: Path, seconds: float) -> None:
    """Waits until a file came `seconds` ago: nobody can set the time at which it came."""
    while time.time() - path.lstat().st_ctime <= seconds:
        os.sched_yield()


def post(folder: Path, answer: Any, *, content: bytes = b"x", path: str = "/gradio_api/upload", **options: Any) -> Any:
    """What a client reads whose upload goes through the door to a route that does as `answer` says."""

    async def take(request: Request) -> Response:
        await request.body()
        if isinstance(answer, Exception):
            raise answer
        return JSONResponse(answer)

    async def ask() -> httpx.Response:
        app = Starlette(routes=[Route(path, take, methods=["POST"])])
        settings: dict[str, Any] = {"max_megabytes": 1, "keep_for": 3600} | options
        door = UploadDoor(app, folder=folder, **settings)
        transport = httpx.ASGITransport(app=door)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.post(path, content=content, headers={"accept-language": "en"})

    return run(ask())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_sentence(tmp_path: Path, code: int) -> None:
    answer = post(tmp_path, OSError(code, "no room"))
    assert answer.status_code == 507
    assert answer.text == "The server’s disk is full, so the file cannot be kept. Please try again later."


def test_an_upload_that_would_fill_the_disk_is_not_begun(tmp_path: Path) -> None:
    answer = post(tmp_path, AssertionError("it was begun"), free=lambda _: 2 * 2**20)
    assert answer.status_code == 507
    assert "disk is full" in answer.text


def test_an_upload_that_grows_beyond_what_is_left_of_the_disk_is_cut_off(tmp_path: Path) -> None:
    left = iter([2**30, 2 * 2**20])
    answer = post(tmp_path, [], content=bytes(4 * 2**20), free=lambda _: next(left))
    assert answer.status_code == 507
    assert "disk is full" in answer.text


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        post(tmp_path, PermissionError(errno.EACCES, "no"))
    assert is_full(OSError(errno.ENOSPC, "no room"))
    assert not is_full(ValueError("no room"))


def test_an_upload_without_an_end_is_cut_off(tmp_path: Path) -> None:
    assert post(tmp_path, [], content=bytes(32 * 2**20)).status_code == 200
    answer = post(tmp_path, [], content=bytes(32 * 2**20 + 1))
    assert answer.status_code == 413
    assert "too much for one upload" in answer.text


def test_pictures_lose_their_metadata_and_other_files_stay(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "my home"
    picture, text, lost = tmp_path / "a.jpg", tmp_path / "b.txt", tmp_path / "c.png"
    Image.new("RGB", (4, 4)).save(picture, exif=exif)
    text.write_text("my home")
    assert post(tmp_path, [str(picture), str(text), str(lost)]).json() == [str(picture), str(text), str(lost)]
    assert b"my home" not in picture.read_bytes()
    assert Image.open(picture).size == (4, 4)
    assert text.read_text() == "my home"
    assert {path.name for path in tmp_path.iterdir()} == {"a.jpg", "b.txt"}


@pytest.mark.parametrize("answer", [{"error": "x"}, "text", 7, [7], None])
def test_an_answer_of_another_shape_goes_through(tmp_path: Path, answer: Any) -> None:
    assert post(tmp_path, answer).json() == answer


def test_other_routes_are_left_alone(tmp_path: Path) -> None:
    assert post(tmp_path, [], path="/gradio_api/call", content=bytes(65 * 2**20), free=lambda _: 0).json() == []


def test_old_files_go_and_new_ones_and_those_of_the_page_stay(tmp_path: Path) -> None:
    broken_off, upload, own = tmp_path / "tmpabc", tmp_path / "hash" / "old.png", tmp_path / "own" / "logo.png"
    for path in (broken_off, upload, own):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    age(tmp_path / "link", 0.05)
    new = tmp_path / "hash" / "new.png"
    new.write_bytes(b"x")
    os.utime(new, (0, 0))  # as a copy that keeps the times of the original
    assert sweep(tmp_path, older_than=0.05, kept=frozenset([own])) == 3
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"new.png", "logo.png"}
    assert Path("/etc/passwd").exists()


def test_an_upload_sweeps_what_earlier_ones_left(tmp_path: Path) -> None:
    left = tmp_path / "tmpxyz"
    left.write_bytes(b"half of a picture")
    age(left, 0.05)
    post(tmp_path, [], keep_for=0.05)
    assert not left.exists()
