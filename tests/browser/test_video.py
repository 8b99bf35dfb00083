"""A clip: its frames, its timeline, its subtitles and its files."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from inference.errors import Busy
from tests.conftest import Served
from tests.support.clips import make_clip
from tests.support.serving import StandInPipeline, thing
from tests.unit.test_subtitles import read_srt, read_vtt

ROWS = "[data-testid=timeline] > li"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {"max_upload_mb": 2, "max_video_mb": 1, "max_video_seconds": 5, "video_frames": 4, "max_video_frames": 6}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds, in a form that Chromium plays wherever it comes from."""
    return make_clip(tmp_path / "party.webm", size=(100, 80), codec="libvpx")


def open_tab(visitor: Any) -> Page:
    page: Page = visitor.page
    page.get_by_role("tab", name="Video").click()
    return page


def add(page: Page, clip: Path) -> None:
    page.locator("#video-clip input[type=file]").set_input_files(str(clip))


def download(page: Page, name: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.locator(f"#video-{name}").click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_the_tab_asks_for_a_clip_refuses_what_is_none_and_shows_one_as_soon_as_it_is_added(
    visit: Any, url: str, clip: Path, picture: Path, tmp_path: Path
) -> None:
    page = open_tab(visit(url))
    expect(page.get_by_text("becomes a timeline and subtitles")).to_be_visible()
    expect(page.locator("#video-player")).to_contain_text("Add a clip")
    page.locator("#video-run").click()
    expect(page.locator("#video-notes")).to_contain_text("Add a clip first.")

    add(page, picture)
    expect(page.locator("#video-clip-only").get_by_role("alert")).to_have_text(
        "Only videos can be added here, for example MP4 or WebM files."
    )
    expect(page.locator("#video-clip").get_by_text("Error")).to_be_hidden()
    page.locator("#video-clip .upload-container").click(trial=True)

    large = make_clip(tmp_path / "clip.mp4")
    large.write_bytes(large.read_bytes() + bytes(1_200_000))
    add(page, large)
    expect(page.locator("#video-clip-too-large").get_by_role("alert")).to_have_text(
        "This file is too large. The limit is 1 MB."
    )
    expect(page.locator("#video-clip-only").get_by_role("alert"), "is of the right kind").to_have_count(0)
    expect(page.locator("video.clip"), "too large").not_to_be_visible()

    add(page, clip)
    expect(page.locator("#video-status")).to_contain_text("0:02.0 long")
    expect(page.locator("video.clip")).to_be_visible()
    page.wait_for_function("document.querySelector('video.clip').readyState > 0")
    expect(page.locator(".unplayable")).not_to_be_visible()
    expect(page.get_by_role("alert"), "nothing is missing any more").to_have_count(0)


def test_a_clip_that_the_browser_cannot_play_says_so_until_another_comes(
    visit: Any, url: str, clip: Path, tmp_path: Path
) -> None:
    page = open_tab(visit(url))
    add(page, make_clip(tmp_path / "clip.avi"))
    expect(page.locator(".unplayable")).to_be_visible()
    page.locator("#video-run").click()
    expect(page.locator("#video-downloads")).to_be_visible()
    expect(page.locator(".unplayable")).to_be_visible()
    expect(page.locator("video.clip")).not_to_be_visible()
    page.locator("#video-clip").get_by_role("button", name="Clear").click()
    add(page, clip)
    expect(page.locator("video.clip")).to_be_visible()
    expect(page.locator(".unplayable")).not_to_be_visible()


def test_every_frame_is_asked_about_and_what_is_said_becomes_subtitles(
    visit: Any, url: str, pipeline: StandInPipeline, clip: Path
) -> None:
    page = open_tab(visit(url))
    add(page, clip)
    page.locator("#video-translate input").check()
    page.locator("#video-run").click()
    expect(page.locator("#video-status")).to_contain_text("4 of 4 answered")
    expect(page.locator(ROWS)).to_have_count(4)
    expect(page.locator(f"{ROWS} .seek")).to_have_text(["0:00.0", "0:00.5", "0:01.0", "0:01.5"])
    expect(page.locator(ROWS).last).to_contain_text("two red boats")
    expect(page.locator(ROWS).last.locator("[lang=es]")).to_have_text("dos barcos rojos")
    assert {request.image.size for request in pipeline.requests} == {(100, 80)}
    expected = {"en": "two red boats", "es": "dos barcos rojos"}
    for language, words in expected.items():
        name, vtt = download(page, f"vtt-{language}")
        assert name == f"party.{language}.vtt"
        assert read_vtt(vtt.decode()) == [(0.0, 2.0, words)]
        name, srt = download(page, f"srt-{language}")
        assert name == f"party.{language}.srt"
        assert read_srt(srt.decode()) == [(0.0, 2.0, words)]
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("innerWidth === 390")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "a narrow screen scrolls sideways"


def test_the_subtitles_play_with_the_clip_and_stay_where_no_other_run_can_begin(
    visit: Any, url: str, clip: Path
) -> None:
    page = open_tab(visit(url))
    add(page, clip)
    page.locator("#video-run").click()
    expect(page.locator("#video-downloads")).to_be_visible()
    expect(page.locator("#video-srt-es")).not_to_be_visible()
    page.wait_for_function("document.querySelector('video.clip').textTracks[0]?.cues?.length === 1")
    assert page.evaluate("document.querySelector('video.clip').textTracks[0].cues[0].text") == "two red boats"
    page.wait_for_function("document.querySelector('video.clip').readyState > 0")
    page.locator(".seek").nth(2).click()
    at = page.evaluate("document.querySelector('video.clip').currentTime")
    assert at == pytest.approx(1.0, abs=0.05), "a time in the timeline leads to its place"

    page.locator("#video-task").get_by_role("radio", name="Answer", exact=True).check()
    page.locator("#video-run").click()
    expect(page.locator("#video-notes")).to_contain_text("Type a question about the picture.")
    expect(page.locator("#video-downloads")).to_be_visible()


def test_the_zip_holds_drawn_frames_and_subtitles_and_frames_that_fail_leave_none(
    visit: Any, url: str, pipeline: StandInPipeline, clip: Path
) -> None:
    pipeline.things = (thing("boat", (10, 40, 40, 70), 0.9), thing("boat", (50, 20, 90, 70), 0.3))
    page = open_tab(visit(url))
    add(page, clip)
    page.locator("#video-task").get_by_role("radio", name="Find", exact=True).check()
    page.locator("#video-objects").get_by_role("textbox").fill("boat")
    page.locator("#video-run").click()
    expect(page.locator(f"{ROWS} .legend")).to_have_text(["boat×2"] * 4)
    expect(page.locator("#video-downloads")).to_be_visible()
    name, content = download(page, "pack")
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert name == "party.zip"
    assert archive.testzip() is None
    frames = [entry for entry in archive.namelist() if entry.startswith("frames/")]
    assert frames == [f"frames/party-{time:06}ms.png" for time in (0, 500, 1000, 1500)]
    drawn = Image.open(io.BytesIO(archive.read(frames[0]))).convert("RGB")
    assert drawn.size == (100, 80)
    assert drawn.getpixel((25, 40)) != pytest.approx((20, 60, 20), abs=12)
    assert read_vtt(archive.read("party.en.vtt").decode())[0][2] == "boat ×2"
    assert "coco.json" in archive.namelist()

    pipeline.failure = Busy("The model is <b>busy</b>.")
    page.locator("#video-run").click()
    expect(page.locator("#video-status")).to_contain_text("4 failed")
    expect(page.locator(ROWS).first.get_by_role("alert")).to_have_text("The model is <b>busy</b>.")
    expect(page.locator("#video-downloads"), "there is nothing to download").not_to_be_visible()
    expect(page.locator("#video-run")).to_be_enabled()


def test_a_run_that_begins_before_the_clip_was_looked_at_goes_on(
    visit: Any, url: str, pipeline: StandInPipeline, clip: Path
) -> None:
    pipeline.held = True
    page = open_tab(visit(url))
    slow: list[Route] = []
    page.route("**/run/predict*", lambda route: slow.append(route))
    add(page, clip)
    page.locator("#video-run").click()
    expect(page.locator(ROWS)).to_have_count(4)
    assert slow
    with page.expect_response("**/run/predict*"):
        for route in slow:
            route.continue_()
    page.unroute("**/run/predict*")
    expect(page.locator(ROWS)).to_have_count(4)
    pipeline.go.set()
    expect(page.locator("#video-status")).to_contain_text("4 of 4 answered")
    expect(page.locator("#video-downloads")).to_be_visible()


def test_stop_and_another_clip_end_the_run(
    visit: Any, url: str, pipeline: StandInPipeline, clip: Path, tmp_path: Path
) -> None:
    pipeline.held = True
    page = open_tab(visit(url))
    add(page, clip)
    page.locator("#video-run").click()
    expect(page.locator(ROWS)).to_have_count(4)
    page.locator("#video-stop").click()
    expect(page.locator("#video-notes")).to_contain_text("You stopped this.")
    expect(page.locator(ROWS).last).to_contain_text("Not answered.")
    expect(page.locator("#video-run")).to_be_enabled()
    assert pipeline.cancelled.wait(10), "by Stop"

    page.locator("#video-run").click()
    expect(page.locator("#video-stop")).to_be_visible()
    expect(page.locator("#video-notes"), "another run has begun").not_to_contain_text("You stopped this.")
    pipeline.cancelled.clear()
    page.locator("#video-clip").get_by_role("button", name="Clear").click()
    expect(page.locator(ROWS), "its clip has gone").to_have_count(0)
    expect(page.locator("#video-player video")).to_have_count(0)
    expect(page.locator("#video-run")).to_be_enabled()
    assert pipeline.cancelled.wait(10), "by another clip"
    pipeline.held = False
    add(page, make_clip(tmp_path / "other.mp4"))
    expect(page.locator("#video-player video")).to_have_count(1)
    page.locator("#video-run").click()
    expect(page.locator("#video-status")).to_contain_text("4 of 4 answered")


def test_what_cannot_be_used_is_refused_when_it_is_added_and_when_it_is_run(
    visit: Any, url: str, pipeline: StandInPipeline, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    refused = {
        make_clip(tmp_path / "long.mp4", frames=80): "lasts 8.0 seconds; at most 5",
        make_clip(tmp_path / "sound.mp4", frames=0, sound=True): "only sound",
        text: "not a video that can be opened",
    }
    page = open_tab(visit(url))
    for path, words in refused.items():
        add(page, path)
        expect(page.locator("#video-notes")).to_contain_text(words)
        expect(page.locator("video.clip"), words).not_to_be_visible()
        # Else its answer might come when the next file is there.
        page.evaluate(
            "() => { window.over = new Promise(done => document.addEventListener('answered', () => done())); }"
        )
        page.locator("#video-run").click()
        page.evaluate("() => window.over")
        expect(page.get_by_role("alert").filter(has_text=words).first).to_be_visible()
        expect(page.locator("#video-run"), words).to_be_enabled()
        page.locator("#video-clip").get_by_role("button", name="Clear").click()
        expect(page.locator("#video-notes"), "gone with its file").not_to_contain_text(words)
    assert pipeline.requests == []


def test_the_embedded_checkpoint_tells_what_the_example_and_ones_own_clip_show(
    visit: Any, served: Served, examples: Path, tmp_path: Path
) -> None:
    page = open_tab(visit(served.url))
    page.locator("#video-try").click()
    expect(page.locator("video.clip")).to_be_visible()
    expect(page.locator("#video-status")).to_contain_text(re.compile(r"(\d+) of \1 answered"))
    expect(page.locator("#video-downloads")).to_be_visible()
    page.wait_for_function("document.querySelector('video.clip').readyState > 0")
    _, vtt = download(page, "vtt-en")
    assert len({words for _, _, words in read_vtt(vtt.decode())}) >= 3, "one for each scene of the example"

    path = tmp_path / "shapes.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=5)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 2_000_000
        for name in ("moons", "star"):
            with Image.open(examples / f"{name}.webp") as picture:
                shown = av.VideoFrame.from_image(picture.convert("RGB").resize((320, 240)))
            for _ in range(10):
                shown.pts = None
                container.mux(stream.encode(shown))
        container.mux(stream.encode())
    page.locator("#video-clip").get_by_role("button", name="Clear").click()
    add(page, path)
    page.locator("#video-frames").get_by_role("spinbutton").fill("4")
    page.locator("#video-frames").get_by_role("spinbutton").press("Tab")
    page.locator("#video-translate input").check()
    page.locator("#video-run").click()
    expect(page.locator("#video-status")).to_contain_text("4 of 4 answered")
    _, vtt = download(page, "vtt-es")
    cues = read_vtt(vtt.decode())
    assert "luna" in cues[0][2]
    assert "estrella" in cues[-1][2]
    assert (cues[0][0], cues[-1][1]) == (0.0, pytest.approx(4.0, abs=0.05))


def test_an_example_shows_the_chosen_task(visit: Any, url: str, pipeline: StandInPipeline) -> None:
    page = open_tab(visit(url))
    page.locator("#video-task").get_by_role("radio", name="Outline", exact=True).check()
    page.locator("#video-try").click()
    expect(page.locator("#video-status")).to_contain_text(re.compile(r"(\d+) of \1 answered"))
    assert {(request.task, request.text) for request in pipeline.requests} == {("segment", "boat ; star ; fish")}
