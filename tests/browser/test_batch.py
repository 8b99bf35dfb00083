"""Many pictures at once: each answer, and each failure, beside its own picture."""

import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from pycocotools.coco import COCO

from tests.conftest import Served
from tests.support.serving import StandInPipeline, thing

ROWS = "[data-testid=batch] tbody tr"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {"max_upload_mb": 2, "max_batch": 4}


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Four files, of which the second is no picture."""
    paths = [tmp_path / name for name in ("red.png", "broken.png", "<b>blue<b>.png", "green.jpg")]
    for path, colour in zip(paths, ("red", None, "blue", "green"), strict=True):
        if colour:
            Image.new("RGB", (100, 80), colour).save(path)
        else:
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    return paths


def open_tab(visitor: Any, name: str = "Many pictures") -> Page:
    page: Page = visitor.page
    page.get_by_role("tab", name=name).click()
    return page


def add(page: Page, pictures: Sequence[Path]) -> None:
    page.locator("#batch-pictures input[type=file]").set_input_files([str(path) for path in pictures])
    expect(page.locator("#batch-pictures .gallery-item")).to_have_count(len(pictures))


def download(page: Page) -> zipfile.ZipFile:
    with page.expect_download() as waiting:
        page.locator("#batch-pack").click()
    return zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes()))


def test_the_tab_says_what_it_is_for(visit: Any, url: str) -> None:
    page = open_tab(visit(url))
    expect(page.get_by_text("Ask the same about many pictures at once, up to 4.")).to_be_visible()
    expect(page.locator("#batch-rows")).to_contain_text("Add some pictures")
    expect(page.locator("#batch-pack")).not_to_be_visible()


def test_a_failure_stands_beside_its_picture_and_the_others_are_answered(
    visit: Any, url: str, pictures: list[Path]
) -> None:
    page = open_tab(visit(url))
    add(page, pictures)
    page.locator("#batch-run").click()
    expect(page.locator("#batch-status")).to_contain_text(re.compile("3 of 4 answered.*1 failed"))
    expect(page.locator(ROWS)).to_have_count(4)
    for number in (0, 2, 3):
        expect(page.locator(ROWS).nth(number)).to_contain_text("two red boats")
    failed = page.locator(ROWS).nth(1)
    expect(failed).to_contain_text("broken.png")
    expect(failed.get_by_role("alert")).to_contain_text("The picture is damaged")
    expect(page.locator("#batch-run")).to_be_enabled()
    expect(page.get_by_role("progressbar", name="How many are answered")).to_have_attribute("aria-valuenow", "100")


def test_files_of_another_kind_are_left_out_and_the_others_stay(
    visit: Any, url: str, pictures: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "doc.txt"
    path.write_text("a text")
    page = open_tab(visit(url))
    page.locator("#batch-pictures input[type=file]").set_input_files([pictures[0], path, pictures[2]])
    expect(page.locator("#batch-pictures .gallery-item")).to_have_count(2)
    expect(page.get_by_role("alert")).to_contain_text("Only pictures can be added here")


def test_a_file_that_is_too_large_is_left_out_and_the_others_stay(
    visit: Any, url: str, pictures: list[Path], tmp_path: Path
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(pictures[0].read_bytes() + bytes(2 * 2**20))
    page = open_tab(visit(url, locale="es-ES"), "Muchas imágenes")
    page.locator("#batch-pictures input[type=file]").set_input_files([pictures[0], large, pictures[2]])
    expect(page.locator("#batch-pictures .gallery-item")).to_have_count(2)
    expect(page.get_by_role("alert")).to_have_text("Este archivo es demasiado grande. El límite es de 2 MB.")


def test_the_zip_holds_every_answer_and_opens_in_other_tools(
    visit: Any, url: str, pipeline: StandInPipeline, pictures: list[Path], tmp_path: Path
) -> None:
    pipeline.things = (thing("boat", (10, 10, 40, 40), 0.9), thing("cup", (50, 20, 90, 70), 0.3))
    page = open_tab(visit(url))
    add(page, pictures)
    page.locator("#batch-task").get_by_role("radio", name="Outline", exact=True).check()
    page.locator("#batch-objects").get_by_role("textbox").fill("boat ; cup")
    page.locator("#batch-objects").get_by_role("textbox").press("Enter")
    expect(page.locator("#batch-drawings img")).to_have_count(3)
    expect(page.locator(ROWS).first).to_contain_text("boat")
    archive = download(page)
    assert archive.testzip() is None
    names = set(archive.namelist())
    assert {"drawn/red.png", "drawn/green.png", "json/red.json", "coco.json", "results.csv"} <= names
    assert not any("broken" in name for name in names)
    drawn = Image.open(io.BytesIO(archive.read("drawn/red.png")))
    assert drawn.size == (100, 80)
    assert drawn.convert("RGB").getpixel((25, 10)) != (255, 0, 0)
    (tmp_path / "coco.json").write_bytes(archive.read("coco.json"))
    coco = COCO(tmp_path / "coco.json")
    assert len(coco.getImgIds()) == 3
    assert len(coco.getAnnIds()) == 6
    assert coco.annToMask(coco.loadAnns(coco.getAnnIds())[0]).sum() == 30 * 30
    assert json.loads(archive.read("json/red.json"))["detections"][1]["label"] == "cup"


def test_however_many_pictures_there_are_all_are_in_sight(visit: Any, url: str, picture: Path) -> None:
    page = open_tab(visit(url))
    add(page, [picture] * 10)
    field = page.locator("#batch-pictures").bounding_box()
    last = page.locator("#batch-pictures .gallery-item").last.bounding_box()
    assert field is not None
    assert last is not None
    assert last["y"] + last["height"] <= field["y"] + field["height"]
    page.get_by_label("Clear").locator("visible=true").first.click()
    expect(page.locator("#batch-pictures .upload-container")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_click_enlarges_a_drawing(
    visit: Any, url: str, pipeline: StandInPipeline, tmp_path: Path, width: int
) -> None:
    pipeline.things = (replace(thing("boat", (10, 10, 40, 40), 0.9), mask=None),)
    paths = [tmp_path / f"{colour}.png" for colour in ("red", "blue")]
    for path in paths:
        Image.new("RGB", (800, 800), path.stem).save(path)
    page = open_tab(visit(url, viewport={"width": width, "height": 900}))
    add(page, paths)
    page.locator("#batch-run").click()
    drawings = page.locator("#batch-drawings")
    small = drawings.get_by_role("button", name="Thumbnail 2 of 2")
    before = small.bounding_box()
    small.click()
    large = drawings.get_by_test_id("detailed-image")
    expect(large).to_be_visible()
    after = large.bounding_box()
    assert before is not None
    assert after is not None
    assert min(after["width"], after["height"]) > 1.8 * before["width"]
    expect(small).to_have_count(1)  # in the line below it; the other has gone from behind it
    drawings.get_by_role("button", name="Close").click()
    expect(small).to_be_visible()


def test_only_what_the_task_needs_is_asked_for(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    page = open_tab(visit(url))
    add(page, [picture, picture])
    for field in ("question", "answer", "objects", "prompt"):
        expect(page.locator(f"#batch-{field}")).not_to_be_visible()
    page.locator("#batch-task").get_by_role("radio", name="Answer", exact=True).check()
    expect(page.locator("#batch-length")).not_to_be_visible()
    page.locator("#batch-run").click()
    expect(page.locator("#batch-notes")).to_contain_text("Type a question about the picture.")
    assert pipeline.requests == []
    page.locator("#batch-question").get_by_role("textbox").fill("what is it?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#batch-status")).to_contain_text("2 of 2 answered")
    assert [(request.task, request.text) for request in pipeline.requests] == [("answer", "what is it?")] * 2


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        pytest.param(0, "Add some pictures first.", id="none"),
        pytest.param(5, "5 pictures are too many; at most 4 at once.", id="too many"),
    ],
)
def test_too_few_and_too_many_are_refused(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, count: int, sentence: str
) -> None:
    page = open_tab(visit(url))
    if count:
        add(page, [picture] * count)
    page.locator("#batch-run").click()
    expect(page.locator("#batch-notes")).to_contain_text(sentence)
    assert pipeline.requests == []
    expect(page.locator("#batch-run")).to_be_enabled()


def test_a_run_that_cannot_begin_leaves_what_the_last_one_found(visit: Any, url: str, picture: Path) -> None:
    page = open_tab(visit(url))
    add(page, [picture])
    page.locator("#batch-run").click()
    expect(page.locator("#batch-status")).to_contain_text("1 of 1 answered")
    page.locator("#batch-task").get_by_role("radio", name="Answer", exact=True).check()
    page.locator("#batch-run").click()
    expect(page.locator("#batch-notes")).to_contain_text("Type a question about the picture.")
    expect(page.locator(ROWS)).to_contain_text("two red boats")
    expect(page.locator("#batch-pack")).to_be_visible()


@pytest.mark.parametrize("how", ["click", "Escape"])
def test_stop_keeps_what_is_answered_and_frees_the_model(
    visit: Any, url: str, pipeline: StandInPipeline, pictures: list[Path], how: str
) -> None:
    pipeline.held = True
    page = open_tab(visit(url))
    add(page, pictures)
    page.locator("#batch-run").click()
    expect(page.locator(ROWS).nth(1).get_by_role("alert")).to_be_visible()
    expect(page.locator(ROWS).first).to_contain_text("Waiting")
    if how == "click":
        page.locator("#batch-stop").click()
    else:
        page.keyboard.press("Escape")
    expect(page.locator("#batch-notes")).to_contain_text("You stopped this.")
    expect(page.locator(ROWS).first).to_contain_text("Not answered.")
    expect(page.locator("#batch-run")).to_be_enabled()
    expect(page.locator("#batch-stop")).not_to_be_visible()
    assert pipeline.cancelled.wait(10)


def test_a_bug_beside_a_picture_says_nothing_of_itself(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.failure = RuntimeError("secret")
    page = open_tab(visit(url))
    add(page, [picture])
    page.locator("#batch-run").click()
    expect(page.locator(ROWS).first.get_by_role("alert")).to_contain_text("Something went wrong on our side.")
    expect(page.locator("body")).not_to_contain_text("secret")


def test_what_a_model_writes_is_shown_as_it_is(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    pipeline.words = "<img src=x onerror=document.title='x'> ${1+1}"
    page = open_tab(visit(url))
    add(page, [picture])
    page.locator("#batch-run").click()
    expect(page.locator(ROWS).first).to_contain_text(pipeline.words)
    assert page.title() == "PaliGemma 2"


def test_a_narrow_screen_needs_no_scrolling_sideways(
    visit: Any, url: str, pipeline: StandInPipeline, pictures: list[Path]
) -> None:
    pipeline.things = (thing("a thing with quite a long name for its size", (10, 10, 40, 40), 0.9),)
    page = open_tab(visit(url, viewport={"width": 390, "height": 800}))
    add(page, pictures)
    page.locator("#batch-run").click()
    expect(page.locator("#batch-pack")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_embedded_checkpoint_answers_about_every_picture(visit: Any, served: Served, examples: Path) -> None:
    page = open_tab(visit(served.url))
    add(page, [examples / "moons.webp", examples / "star.webp", examples / "boats.webp"])
    page.locator("#batch-task").get_by_role("radio", name="Outline", exact=True).check()
    page.locator("#batch-objects").get_by_role("textbox").fill("moon ; star ; boat")
    page.get_by_label("In Spanish too").locator("visible=true").check()
    page.locator("#batch-run").click()
    expect(page.locator("#batch-status")).to_contain_text("3 of 3 answered")
    for number, (english, spanish) in enumerate((("moon", "luna"), ("star", "estrella"), ("boat", "barco"))):
        expect(page.locator(ROWS).nth(number)).to_contain_text(english)
        expect(page.locator(ROWS).nth(number).locator("[lang=es]")).to_contain_text(spanish)
    archive = download(page)
    assert {"drawn/moons.png", "drawn/star.png", "drawn/boats.png"} <= set(archive.namelist())


def test_an_example_can_be_tried(visit: Any, served: Served) -> None:
    page = open_tab(visit(served.url))
    page.locator("#batch-task").get_by_role("radio", name="Find", exact=True).check()
    page.locator("#batch-try").click()
    expect(page.locator("#batch-pictures .gallery-item")).to_have_count(6)
    expect(page.locator("#batch-task").get_by_role("radio", name="Find", exact=True)).to_be_checked()
    expect(page.locator("#batch-objects").get_by_role("textbox")).to_have_value("moon ; house")
    expect(page.locator("#batch-status")).to_contain_text("6 of 6 answered")
    expect(page.locator(ROWS).filter(has_text="moons.webp")).to_contain_text("moon")


def test_an_example_is_asked_what_was_typed(visit: Any, url: str, pipeline: StandInPipeline) -> None:
    page = open_tab(visit(url))
    page.locator("#batch-task").get_by_role("radio", name="Answer", exact=True).check()
    page.locator("#batch-question").get_by_role("textbox").fill("is it red?")
    page.locator("#batch-try").click()
    expect(page.locator("#batch-status")).to_contain_text("4 of 4 answered")
    assert {(request.task, request.text) for request in pipeline.requests} == {("answer", "is it red?")}


def test_an_example_is_described_where_only_a_person_could_say_what_to_ask(
    visit: Any, url: str, pipeline: StandInPipeline
) -> None:
    page = open_tab(visit(url))
    page.locator("#batch-task").get_by_role("radio", name="Free prompt", exact=True).check()
    page.locator("#batch-try").click()
    expect(page.locator("#batch-task").get_by_role("radio", name="Describe", exact=True)).to_be_checked()
    expect(page.locator("#batch-status")).to_contain_text("4 of 4 answered")
    assert {request.task for request in pipeline.requests} == {"describe"}
