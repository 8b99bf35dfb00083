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


def test_the_tab_says_how_many_pictures_it_takes_refuses_more_and_shows_them_all(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    page = open_tab(visit(url))
    expect(page.get_by_text("Ask the same about many pictures at once, up to 4.")).to_be_visible()
    expect(page.locator("#batch-rows")).to_contain_text("Add some pictures")
    expect(page.locator("#batch-pack")).not_to_be_visible()
    page.locator("#batch-run").click()
    expect(page.locator("#batch-notes")).to_contain_text("Add some pictures first.")
    expect(page.locator("#batch-run"), "with no pictures").to_be_enabled()

    add(page, [picture] * 10)
    field = page.locator("#batch-pictures").bounding_box()
    last = page.locator("#batch-pictures .gallery-item").last.bounding_box()
    assert field is not None
    assert last is not None
    assert last["y"] + last["height"] <= field["y"] + field["height"], "the last one is out of sight"
    page.locator("#batch-run").click()
    expect(page.locator("#batch-notes")).to_contain_text("10 pictures are too many; at most 4 at once.")
    expect(page.locator("#batch-run"), "with too many pictures").to_be_enabled()
    assert pipeline.requests == []
    page.get_by_label("Clear").locator("visible=true").first.click()
    expect(page.locator("#batch-pictures .upload-container"), "all gone").to_be_visible()


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


def test_files_of_another_kind_or_too_large_are_left_out_and_the_others_stay(
    visit: Any, url: str, pictures: list[Path], tmp_path: Path
) -> None:
    text, large = tmp_path / "doc.txt", tmp_path / "large.png"
    text.write_text("a text")
    large.write_bytes(pictures[0].read_bytes() + bytes(2 * 2**20))
    page = open_tab(visit(url, locale="es-ES"), "Muchas imágenes")
    page.locator("#batch-pictures input[type=file]").set_input_files([pictures[0], text, large, pictures[2]])
    expect(page.locator("#batch-pictures .gallery-item")).to_have_count(2)
    expect(page.get_by_role("alert")).to_have_text(
        [
            "Aquí solo se pueden añadir imágenes, por ejemplo archivos JPEG, PNG o WebP.",
            "Este archivo es demasiado grande. El límite es de 2 MB.",
        ]
    )


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


def test_a_click_enlarges_a_drawing_on_a_narrow_screen_too_which_needs_no_scrolling_sideways(
    visit: Any, url: str, pipeline: StandInPipeline, pictures: list[Path]
) -> None:
    pipeline.things = (replace(thing("a thing with quite a long name for its size", (10, 10, 40, 40), 0.9), mask=None),)
    for path, colour in ((pictures[0], "red"), (pictures[2], "blue")):
        Image.new("RGB", (800, 800), colour).save(path)
    page = open_tab(visit(url))
    add(page, pictures[:3])
    page.locator("#batch-run").click()
    drawings = page.locator("#batch-drawings")
    small, large = drawings.get_by_role("button", name="Thumbnail 2 of 2"), drawings.get_by_test_id("detailed-image")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"innerWidth === {width}")
        expect(small, f"{width} pixels").to_be_visible()
        before = small.bounding_box()
        small.click()
        expect(large, f"{width} pixels").to_be_visible()
        after = large.bounding_box()
        assert before is not None
        assert after is not None
        assert min(after["width"], after["height"]) > 1.8 * before["width"], f"{width} pixels"
        expect(small, "in the line below it; the other has gone from behind it").to_have_count(1)
        drawings.get_by_role("button", name="Close").click()
        expect(large, f"{width} pixels").to_have_count(0)
        expect(small, f"{width} pixels").to_be_visible()
    expect(page.locator("#batch-pack")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "scrolls sideways"


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


def test_what_was_written_is_shown_as_it_is_until_another_run_begins_and_of_a_bug_nothing(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.words = "<img src=x onerror=document.title='x'> ${1+1}"
    page = open_tab(visit(url))
    add(page, [picture])
    page.locator("#batch-run").click()
    expect(page.locator("#batch-status")).to_contain_text("1 of 1 answered")
    expect(page.locator(ROWS), "as it is").to_contain_text(pipeline.words)
    assert page.title() == "PaliGemma 2"

    page.locator("#batch-task").get_by_role("radio", name="Answer", exact=True).check()
    page.locator("#batch-run").click()
    expect(page.locator("#batch-notes")).to_contain_text("Type a question about the picture.")
    expect(page.locator(ROWS), "no run has begun").to_contain_text(pipeline.words)
    expect(page.locator("#batch-pack"), "no run has begun").to_be_visible()

    pipeline.failure = RuntimeError("secret")
    page.locator("#batch-task").get_by_role("radio", name="Describe", exact=True).check()
    page.locator("#batch-run").click()
    expect(page.locator(ROWS).first.get_by_role("alert")).to_contain_text("Something went wrong on our side.")
    expect(page.locator("body")).not_to_contain_text("secret")


def test_stop_keeps_what_is_answered_and_frees_the_model(
    visit: Any, url: str, pipeline: StandInPipeline, pictures: list[Path]
) -> None:
    pipeline.held = True
    page = open_tab(visit(url))
    add(page, pictures)
    page.locator("#batch-run").click()
    expect(page.locator(ROWS).nth(1).get_by_role("alert")).to_be_visible()
    expect(page.locator(ROWS).first).to_contain_text("Waiting")
    page.locator("#batch-stop").click(trial=True)  # a mouse reaches it; Escape presses it
    page.keyboard.press("Escape")
    expect(page.locator("#batch-notes")).to_contain_text("You stopped this.")
    expect(page.locator(ROWS).first).to_contain_text("Not answered.")
    expect(page.locator("#batch-run")).to_be_enabled()
    expect(page.locator("#batch-stop")).not_to_be_visible()
    assert pipeline.cancelled.wait(10)


def test_the_embedded_checkpoint_answers_about_every_picture_and_about_the_examples(
    visit: Any, served: Served, examples: Path
) -> None:
    page = open_tab(visit(served.url))
    tasks, objects = page.locator("#batch-task"), page.locator("#batch-objects").get_by_role("textbox")
    add(page, [examples / "moons.webp", examples / "star.webp", examples / "boats.webp"])
    tasks.get_by_role("radio", name="Outline", exact=True).check()
    objects.fill("moon ; star ; boat")
    page.get_by_label("In Spanish too").locator("visible=true").check()
    page.locator("#batch-run").click()
    expect(page.locator("#batch-status")).to_contain_text("3 of 3 answered")
    for number, (english, spanish) in enumerate((("moon", "luna"), ("star", "estrella"), ("boat", "barco"))):
        expect(page.locator(ROWS).nth(number)).to_contain_text(english)
        expect(page.locator(ROWS).nth(number).locator("[lang=es]")).to_contain_text(spanish)
    archive = download(page)
    assert {"drawn/moons.png", "drawn/star.png", "drawn/boats.png"} <= set(archive.namelist())

    tasks.get_by_role("radio", name="Find", exact=True).check()
    objects.fill("")
    page.locator("#batch-try").click()
    expect(page.locator("#batch-pictures .gallery-item")).to_have_count(6)
    expect(tasks.get_by_role("radio", name="Find", exact=True)).to_be_checked()
    expect(objects).to_have_value("moon ; house")
    expect(page.locator("#batch-status")).to_contain_text("6 of 6 answered")
    expect(page.locator(ROWS).filter(has_text="moons.webp")).to_contain_text("moon")


def test_an_example_is_asked_what_was_typed_and_described_where_only_a_person_could_say_what_to_ask(
    visit: Any, url: str, pipeline: StandInPipeline
) -> None:
    page = open_tab(visit(url))
    tasks = page.locator("#batch-task")
    tasks.get_by_role("radio", name="Answer", exact=True).check()
    page.locator("#batch-question").get_by_role("textbox").fill("is it red?")
    page.locator("#batch-try").click()
    expect(page.locator("#batch-status")).to_contain_text("4 of 4 answered")
    assert {(request.task, request.text) for request in pipeline.requests} == {("answer", "is it red?")}

    expect(page.locator("#batch-run")).to_be_enabled()
    pipeline.requests.clear()
    pipeline.words = "a blue boat"
    tasks.get_by_role("radio", name="Free prompt", exact=True).check()
    page.locator("#batch-try").click()
    expect(tasks.get_by_role("radio", name="Describe", exact=True)).to_be_checked()
    expect(page.locator(ROWS)).to_contain_text(["a blue boat"] * 4)
    expect(page.locator("#batch-status")).to_contain_text("4 of 4 answered")
    assert {request.task for request in pipeline.requests} == {"describe"}
