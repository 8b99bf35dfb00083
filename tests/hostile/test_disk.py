"""What comes to lie on the disk: it goes after its time, and a full disk is said in a sentence."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hostile.payloads import MARK
from tests.support.serving import StandInHost, StandInPipeline, serve, thing
from ui import page

FULL = "The server’s disk is full, so the file cannot be kept. Please try again later."


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk: whoever writes a larger file is told that there is no room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def pipeline() -> StandInPipeline:
    return StandInPipeline(things=(thing("boat", (10, 10, 40, 40), 0.9),))


def upload(http: httpx.Client, picture: Path) -> httpx.Response:
    with picture.open("rb") as file:
        return http.post("upload", files={"files": file})


def find(http: httpx.Client, path: str) -> Any:
    """What `/detect` answers: its values, or its error."""
    data = [{"path": path, "meta": MARK}, "boat", False, "en", ""]
    event = http.post("call/detect", json={"data": data}).json()["event_id"]
    lines = [line for line in http.get(f"call/detect/{event}").text.splitlines() if line]
    return json.loads(lines[-1].removeprefix("data: "))


def test_uploads_and_drawings_are_deleted_after_their_time(
    picture: Path, pipeline: StandInPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(page, "HOUR", 2)
    with serve(pipeline, StandInHost()) as url, httpx.Client(base_url=f"{url}gradio_api/", timeout=60) as http:
        path = upload(http, picture).json()[0]
        _, drawn = find(http, path)
        assert Path(drawn["path"]).is_relative_to(tmp_path)
        while Path(path).exists() or Path(drawn["path"]).exists():  # the test's own limit of time ends it
            http.get("startup-events")
        assert http.get(f"file={path}").status_code in (403, 404)


def test_a_full_disk_is_a_sentence_for_uploads_and_for_drawings(
    picture: Path, pipeline: StandInPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with serve(pipeline, StandInHost()) as url, httpx.Client(base_url=f"{url}gradio_api/", timeout=60) as http:
        path = upload(http, picture).json()[0]
        with files_of_at_most(20):
            refused = upload(http, picture)
            told = find(http, path)
        assert (refused.status_code, refused.text) == (507, FULL)
        assert told["error"] == FULL
        result, drawn = find(http, path)  # and when there is room again, all is well
        assert result["detections"]
        assert Path(drawn["path"]).exists()
