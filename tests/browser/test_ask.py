"""What can be done with an answer about one picture: files, earlier answers, clicks on things, live controls."""

import csv
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Response, expect
from pycocotools.coco import COCO

from inference.images import open_picture
from inference.overlay import colours_of
from inference.sentences import Sentence
from tests.support.asking import answered, over
from tests.support.serving import StandInPipeline, thing

ANSWER = "[data-testid=answer]"
ROWS = "[data-testid=things] tbody tr"
BOAT = thing("boat", (10, 10, 40, 40), 0.896)  # 90 %
CUP = thing("cup", (50, 20, 90, 70), 0.3)


@pytest.fixture
def found(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> Any:
    """A visitor who had two things outlined."""
    pipeline.things = (BOAT, CUP)
    visitor = visit(url)
    visitor.upload(picture)
    ask(visitor, "Outline", "boat ; cup")
    expect(visitor.page.locator(ROWS)).to_have_count(2)
    return visitor


def ask(visitor: Any, task: str, text: str) -> None:
    field = {"Answer": "Question", "Find": "Things to look for", "Outline": "Things to look for"}[task]
    visitor.choose(task)
    visitor.field(field).fill(text)
    with answered(visitor.page):
        visitor.run()


def download(page: Page, label: str) -> tuple[str, bytes]:
    with page.expect_download() as coming:
        page.locator("#exports").get_by_role("button", name=label, exact=True).click()
    return coming.value.suggested_filename, Path(coming.value.path()).read_bytes()


def set_number(page: Page, control: str, value: int) -> None:
    field = page.locator(control).get_by_role("spinbutton")
    field.fill(str(value))
    field.press("Tab")


def drawn_pixels(page: Page) -> np.ndarray:
    """The drawing as the browser shows it, in the picture's own pixels."""
    url = page.locator("#drawn img").get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(page.request.get(url or "").body())).convert("RGB")).astype(int)


def asked_by(response: Response) -> int | None:
    """The number of the component whose event this is a response to."""
    asked = response.request
    return asked.post_data_json.get("trigger_id") if asked.method == "POST" else None


def entries(page: Page) -> Locator:
    return page.locator("#thread").get_by_role("listitem").get_by_role("button")


# Files


def test_files_hold_what_was_found_and_leave_out_what_the_threshold_hides(
    found: Any, picture: Path, tmp_path: Path
) -> None:
    page, stem = found.page, picture.stem

    name, content = download(page, "All in one zip")
    assert name == f"{stem}.zip"
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    assert {
        f"drawn/{stem}.png", f"masks/{stem}/01-boat.png", f"masks/{stem}/02-cup.png", f"masks/{stem}/index.png",
        f"json/{stem}.json", "coco.json", f"yolo/boxes/{stem}.txt", f"yolo/segments/{stem}.txt", "yolo/classes.txt",
        "results.csv",
    } <= set(archive.namelist())  # fmt: skip
    assert json.loads(archive.read(f"json/{stem}.json"))["detections"][1]["label"] == "cup"

    name, content = download(page, "COCO")
    (tmp_path / name).write_bytes(content)
    loaded = COCO(tmp_path / name)
    boat, cup = loaded.loadAnns(loaded.getAnnIds())
    assert [boat["area"], cup["area"]] == [900, 2000]
    assert boat["bbox"] == [10, 10, 30, 30]
    assert np.array_equal(loaded.annToMask(cup).astype(bool), CUP.mask)

    set_number(page, "#threshold", 90)  # as the boat's percents are shown
    expect(page.locator(ROWS)).to_have_count(1)
    with page.expect_download():
        page.locator("#exports").get_by_role("button", name="JSON", exact=True).dblclick()
    name, table = download(page, "CSV")
    assert name.endswith(".csv"), "a double click on JSON gives one file"
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"))))
    assert [row["label"] for row in rows] == ["boat"]
    _, content = download(page, "YOLO")
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.read("yolo/classes.txt").decode().split() == ["boat"]
    _, masks = download(page, "Masks")
    names = zipfile.ZipFile(io.BytesIO(masks)).namelist()
    assert any("boat" in name for name in names)
    assert not any("cup" in name for name in names)

    set_number(page, "#threshold", 91)
    expect(page.locator("#found")).to_contain_text("All 2 things are less sure than 91% and hidden.")


def test_the_drawing_comes_as_it_is_shown(found: Any, pipeline: StandInPipeline) -> None:
    page = found.page
    set_number(page, "#threshold", 50)
    expect(page.locator(ROWS)).to_have_count(1)
    before = page.locator("#drawn img").get_attribute("src")
    page.locator("#parts").get_by_role("radio", name="Boxes").check()
    expect(page.locator("#drawn img")).not_to_have_attribute("src", before or "")
    name, content = download(page, "Drawing")
    drawn = Image.open(io.BytesIO(content))
    assert (name.endswith("-drawn.png"), drawn.format, drawn.size) == (True, "PNG", (100, 80))
    plain = np.asarray(pipeline.requests[0].image).astype(int)
    changed = np.abs(np.asarray(drawn.convert("RGB")) - plain).sum(axis=-1) > 0
    assert changed[39, 12:38].all()  # the boat's box
    assert not changed[15:35, 15:35].any()  # its mask is not drawn
    assert not changed[58:, 60:].any()  # the cup is hidden


def test_an_answer_in_words_is_offered_in_formats_for_words(visit: Any, url: str, picture: Path) -> None:
    visitor = visit(url)
    expect(visitor.page.locator("#exports")).not_to_be_visible()
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator(ANSWER)).to_be_visible()
    expect(visitor.page.locator("#exports").get_by_role("button")).to_have_text(["JSON", "CSV", "All in one zip"])
    name, content = download(visitor.page, "JSON")
    assert (name, json.loads(content)["text"]) == (f"{picture.stem}.json", "two red boats")


# Earlier answers


def test_earlier_answers_come_back_with_their_drawing_until_cleared(found: Any, pipeline: StandInPipeline) -> None:
    page = found.page
    expect(page.locator("#thread")).not_to_be_visible()
    drawn = drawn_pixels(page)
    pipeline.things = ()
    ask(found, "Answer", "what is <it>?")
    expect(page.locator(ANSWER)).to_have_text("two red boats")
    expect(entries(page)).to_have_text(["Outline: boat ; cup Found 2 things.", "Answer: what is <it>? two red boats"])
    expect(page.locator("#thread")).to_contain_text("Each question is asked afresh")
    entries(page).first.click()
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page.locator(ANSWER)).not_to_be_visible()
    expect(entries(page).first).to_have_attribute("aria-current", "true")
    expect(entries(page).first).to_be_focused()
    assert np.array_equal(drawn_pixels(page), drawn)
    assert len(pipeline.requests) == 2

    page.locator("#thread").get_by_role("button", name="Clear").click()
    expect(page.locator("#thread"), "what was asked, cleared").not_to_be_visible()
    expect(page.locator("#results")).to_contain_text("The answer appears here.")
    pipeline.things = (BOAT, CUP)
    ask(found, "Find", "cup")
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page.locator("#thread"), "what was asked, with one answer since").not_to_be_visible()


def test_another_picture_begins_a_thread_in_which_nothing_is_hidden(found: Any, picture: Path, tmp_path: Path) -> None:
    page = found.page
    ask(found, "Find", "boat")
    expect(entries(page)).to_have_count(2)
    other = tmp_path / "other.png"
    Image.new("RGB", (100, 80), "navy").save(other)
    set_number(page, "#threshold", 50)
    expect(page.locator(ROWS)).to_have_count(1)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#thread")).not_to_be_visible()
    expect(page.locator("#results")).to_contain_text("The answer appears here.")
    expect(page.locator("#exports")).not_to_be_visible()
    found.upload(other)
    ask(found, "Find", "boat")
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page.locator("#threshold").get_by_role("spinbutton")).to_have_value("0")
    expect(page.locator("#thread")).not_to_be_visible()
    ask(found, "Find", "cup")
    expect(entries(page)).to_have_count(2)


def test_visitors_do_not_see_the_questions_of_others(visit: Any, found: Any, url: str, picture: Path) -> None:
    ask(found, "Find", "boat")
    other = visit(url)
    other.upload(picture)
    ask(other, "Find", "cup")
    expect(other.page.locator(ROWS)).to_have_count(2)
    expect(other.page.locator("#thread")).not_to_be_visible()


# Clicks on things


def test_a_word_of_the_models_own_english_is_looked_for(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    visitor = visit(url)
    visitor.upload(picture)
    visitor.page.get_by_label("In Spanish too").check()
    visitor.choose("Read text")
    with answered(visitor.page):
        visitor.run()
    words = visitor.page.locator("#answer-panel .word")
    expect(visitor.page.locator(ANSWER)).to_have_count(2)
    expect(words, "words that stand in the picture").to_have_count(0)
    visitor.choose("Describe")
    with answered(visitor.page):
        visitor.run()
    expect(visitor.page.locator(ANSWER)).to_have_count(2)
    expect(words).to_have_text(["boats"])  # neither a number nor a colour is a thing, and Spanish has none
    pipeline.things = (BOAT,)
    visitor.page.locator(ANSWER).get_by_role("button", name="boats").click()
    expect(visitor.page.locator(ROWS)).to_have_count(1)
    expect(visitor.field("Things to look for")).to_have_value("boats")
    assert [(request.task, request.text) for request in pipeline.requests[2:]] == [("detect", "boats")]


def test_words_are_reached_by_the_keyboard(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    pipeline.words = "A dog beside a lamp and a chair."
    visitor = visit(url)
    visitor.upload(picture)
    with answered(visitor.page):  # after its end the focus stays where it is put
        visitor.run()
    words = visitor.page.locator(ANSWER).get_by_role("button")
    expect(words).to_have_text(["dog", "lamp", "chair"])
    visitor.page.locator(".answer-card").get_by_role("button", name="Copy").focus()
    visitor.page.keyboard.press("Tab")
    expect(words.nth(0)).to_be_focused()
    visitor.page.keyboard.press("ArrowRight")
    expect(words.nth(1)).to_be_focused()
    visitor.page.keyboard.press("Enter")
    expect(visitor.field("Things to look for")).to_have_value("lamp")
    expect(visitor.page.locator("#run")).to_be_enabled()
    assert pipeline.requests[-1].task == "detect"


def test_a_label_in_the_table_asks_for_the_rest(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    visitor = visit(url)
    visitor.upload(picture)
    for number, (boat, task) in enumerate([(replace(BOAT, mask=None), "segment"), (BOAT, "detect")], start=1):
        pipeline.things = (boat,)
        ask(visitor, "Find", "anything")
        with answered(visitor.page):
            visitor.page.locator(ROWS).get_by_role("button", name="boat").click()
        expect(visitor.field("Things to look for"), f"what to {task}").to_have_value("boat")
        expect(entries(visitor.page), f"what was asked, the last of it to {task}").to_have_count(2 * number)
        assert (pipeline.requests[-1].task, pipeline.requests[-1].text) == (task, "boat")


# What an answer is called, and what is said where there is none


def test_a_guessed_question_is_called_one(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    pipeline.held = True
    visitor = visit(url)
    visitor.upload(picture)
    visitor.choose("Guess the question")
    visitor.field("Answer").fill("two")
    visitor.run()
    heading = visitor.page.locator(".answer-card").get_by_role("heading")
    expect(heading).to_have_text("Question")
    pipeline.go.set()
    expect(visitor.page.locator(ANSWER)).to_be_visible()
    expect(heading).to_have_text("Question")


def test_what_is_not_there_is_said_in_a_word_and_brings_no_files(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.words, pipeline.problems = "", (Sentence("Not found: {names}.", names="fish"),)
    visitor = visit(url)
    visitor.upload(picture)
    for _ in range(2):
        ask(visitor, "Find", "fish")
    expect(visitor.page.locator("#notes")).to_have_text("Not found: fish.")
    expect(visitor.page.locator("#answer-panel")).not_to_be_visible()
    expect(visitor.page.locator("#exports")).not_to_be_visible()
    expect(entries(visitor.page).last).to_have_text("Find: fish Not found: fish.")


# Answers that give way


def test_a_question_that_takes_over_keeps_its_own_stop_and_is_not_said_to_be_stopped(
    visit: Any, url: str, pipeline: StandInPipeline
) -> None:
    pipeline.held = True
    visitor = visit(url)
    visitor.page.locator(".example").first.click()
    expect(visitor.page.locator("[data-testid=writing]")).to_have_text("two")
    visitor.choose("Answer")
    visitor.field("Question").fill("how many?")
    visitor.field("Question").press("Enter")
    assert pipeline.cancelled.wait(10)  # the first
    expect(visitor.page.locator("[data-testid=writing]")).to_have_text("two")
    expect(visitor.page.locator("#run")).to_be_disabled()
    expect(visitor.page.locator("#notes")).to_be_empty()
    visitor.page.keyboard.press("Escape")
    expect(visitor.page.locator("#status")).to_contain_text("Stopped.")
    expect(visitor.page.locator("#run")).to_be_enabled()
    assert [request.task for request in pipeline.requests] == ["describe", "answer"]


def test_another_example_takes_over(visit: Any, url: str, pipeline: StandInPipeline) -> None:
    pipeline.held = True
    page = visit(url).page
    for number in range(2):
        page.locator(".example").filter(visible=True).nth(number).press("Enter")  # a mouse has to stop the first
        expect(page.locator("[data-testid=writing]")).to_have_text("two")
        assert number == 0 or pipeline.cancelled.wait(10)
    pipeline.go.set()
    expect(page.locator(ANSWER)).to_have_text("two red boats")
    expect(page.locator("#run")).to_be_enabled()
    assert [request.task for request in pipeline.requests] == ["describe", "read_text"]


def test_taking_the_picture_away_ends_the_answer_about_it_without_a_trace(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.held = True
    visitor = visit(url)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator("[data-testid=writing]")).to_have_text("two")
    visitor.page.get_by_role("button", name="Remove Image").click()
    assert pipeline.cancelled.wait(10)
    expect(visitor.page.locator("#run")).to_be_enabled()
    expect(visitor.page.locator("#stop")).not_to_be_visible()
    expect(visitor.page.locator("#answer-panel")).to_contain_text("The answer appears here.")
    expect(visitor.page.locator("#status")).to_be_empty()
    expect(visitor.page.locator("#notes")).to_be_empty()


class Opening(threading.Event):
    """Pictures of questions are opened when it is set; a large one takes seconds.

    Attributes:
        begun: Has one for each that was to be opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)

    def wait_and_open(self, *arguments: Any) -> Image.Image:
        self.begun.release()
        assert self.wait(60)
        return open_picture(*arguments)


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opening]:
    opening = Opening()
    monkeypatch.setattr("ui.inputs.open_picture", opening.wait_and_open)
    yield opening
    opening.set()


def test_an_answer_is_ended_while_its_picture_is_being_opened(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, opening: Opening
) -> None:
    visitor = visit(url)
    page = visitor.page
    stop = page.evaluate("gradio_config.components.find((part) => part.props.elem_id === 'stop').id")

    def end_by(name: str) -> None:
        opening.clear()
        with over(page, name):
            visitor.run()
            expect(page.locator("#stop"), f"Stop before {name}").to_be_visible()
            with page.expect_response(lambda response: asked_by(response) == stop):
                page.get_by_role("button", name=name).click()
            opening.set()

    visitor.upload(picture)
    end_by("Stop")
    expect(page.locator("#status")).to_contain_text("Stopped.")
    end_by("Remove Image")
    expect(page.locator("#answer-panel")).to_contain_text("The answer appears here.")
    expect(page.locator("#status")).to_be_empty()
    assert pipeline.requests == []


def test_the_latest_question_is_answered_whichever_picture_is_open_first(
    visit: Any, url: str, pipeline: StandInPipeline, opening: Opening
) -> None:
    visitor = visit(url)
    visitor.page.locator(".example").first.click()
    assert opening.begun.acquire(timeout=60)
    visitor.choose("Answer")
    visitor.field("Question").fill("how many?")
    visitor.field("Question").press("Enter")
    assert opening.begun.acquire(timeout=60)
    opening.set()
    expect(visitor.page.locator(ANSWER).first).to_have_text("two red boats")
    expect(visitor.page.locator("#run")).to_be_enabled()
    assert [request.task for request in pipeline.requests] == ["answer"]


def test_clear_ends_the_answer_that_is_being_written(found: Any, pipeline: StandInPipeline) -> None:
    page = found.page
    ask(found, "Find", "boat")
    pipeline.held = True
    found.run()
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("[data-testid=writing]")).to_be_visible()
    page.locator("#thread").get_by_role("button", name="Clear").click()
    assert pipeline.cancelled.wait(10)
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#results")).to_contain_text("The answer appears here.")
    expect(page.locator("#thread")).not_to_be_visible()


# Live controls


def test_controls_change_the_drawing_without_asking_again(found: Any, pipeline: StandInPipeline) -> None:
    page = found.page
    inside, edge = (25, 20), (39, 25)  # of the boat's mask, and of its box

    def expect_drawing(change: Any) -> np.ndarray:
        before = page.locator("#drawn img").get_attribute("src")
        change()
        expect(page.locator("#drawn img")).not_to_have_attribute("src", before or "")
        return drawn_pixels(page)

    plain = np.asarray(pipeline.requests[0].image).astype(int)
    both = drawn_pixels(page)
    boxes = expect_drawing(lambda: page.locator("#parts").get_by_role("radio", name="Boxes").check())
    assert (boxes[inside] == plain[inside]).all()
    assert (boxes[edge] == both[edge]).all()
    masks = expect_drawing(lambda: page.locator("#parts").get_by_role("radio", name="Masks").check())
    assert (masks[inside] == both[inside]).all()
    strong = expect_drawing(lambda: set_number(page, "#opacity", 100))
    assert np.abs(strong[inside] - plain[inside]).sum() > np.abs(masks[inside] - plain[inside]).sum()
    assert len(pipeline.requests) == 1


def test_controls_fit_what_was_found_and_change_only_what_they_say(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    visitor = visit(url)
    page = visitor.page
    visitor.upload(picture)

    pipeline.things = (replace(BOAT, mask=None),)
    ask(visitor, "Find", "boat")
    expect(page.locator("#threshold")).to_be_visible()
    for control in ("#opacity", "#parts", "#labels"):
        expect(page.locator(control), "a control of masks and translations, where there are none").not_to_be_visible()

    pipeline.things = (replace(BOAT, translated_label="barco"),)
    ask(visitor, "Find", "boat")
    legend = page.locator("[data-testid=legend]")
    expect(legend).to_have_text("boat")
    english = drawn_pixels(page)
    page.locator("#labels").get_by_role("radio", name="Español").check()
    expect(legend).to_have_text("barco")
    assert (drawn_pixels(page) != english).any()
    ask(visitor, "Find", "cup")
    expect(legend).to_have_text("barco")  # the choice stays for the next answer
    assert len(pipeline.requests) == 3

    # So that the bus has it, and the dog only where there is no bus.
    assert colours_of(["bus"])["bus"] == colours_of(["dog"])["dog"]
    pipeline.things = (replace(CUP, label="bus"), replace(BOAT, label="dog"))
    ask(visitor, "Find", "anything")
    swatch = page.locator(ROWS).filter(has_text="dog").locator(".swatch")
    before = swatch.evaluate("swatch => getComputedStyle(swatch).backgroundColor")
    edge = drawn_pixels(page)[39, 25]
    set_number(page, "#threshold", 50)
    expect(page.locator(ROWS)).to_have_count(1)
    assert swatch.evaluate("swatch => getComputedStyle(swatch).backgroundColor") == before
    assert (drawn_pixels(page)[39, 25] == edge).all()


# Marks


def test_a_row_marks_its_thing_in_the_picture_and_a_thing_its_row(
    visit: Any, url: str, pipeline: StandInPipeline, tmp_path: Path
) -> None:
    tall = tmp_path / "tall.png"  # letterboxed, at its left and right
    Image.new("RGB", (300, 1200), "olive").save(tall)
    cup, boat = replace(CUP, box=(75, 300, 225, 600), mask=None), replace(BOAT, box=(30, 900, 90, 1050), mask=None)
    pipeline.things = (boat, cup)
    visitor = visit(url)
    page = visitor.page
    visitor.upload(tall)
    ask(visitor, "Find", "boat ; cup")
    row, spot = page.locator(ROWS).filter(has_text="cup"), page.locator("#drawn .spot")

    def drawn() -> tuple[float, float, float]:
        """Left, top and height of the picture as it is shown, without what is beside it."""
        image = page.locator("#drawn img").bounding_box()
        assert image is not None
        shown_width = image["height"] / 4  # the picture's sides are as 1 to 4
        assert image["width"] > 1.2 * shown_width
        return image["x"] + (image["width"] - shown_width) / 2, image["y"], image["height"]

    def expect_mark(when: str) -> None:
        expect(spot, when).to_be_visible()
        left, top, height = drawn()
        marked = spot.bounding_box()
        assert marked is not None, when
        assert marked["x"] == pytest.approx(left + height / 16, abs=1.5), when
        assert marked["y"] == pytest.approx(top + height / 4, abs=1.5), when
        assert marked["width"] == pytest.approx(height / 8, abs=1.5), when
        assert marked["height"] == pytest.approx(height / 4, abs=1.5), when

    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        row.locator(".box").hover()
        expect_mark(f"by the pointer, {width} pixels wide")
        page.locator("#details").hover()
        expect(spot, f"the pointer elsewhere, {width} pixels wide").to_have_count(0)
        row.get_by_role("button", name="cup").focus()
        expect_mark(f"by the keyboard, {width} pixels wide")
        page.locator("#task input").first.focus()
        expect(spot, f"the focus elsewhere, {width} pixels wide").to_have_count(0)

    page.locator("#drawn img").scroll_into_view_if_needed()
    left, top, height = drawn()
    marked = page.locator(f"{ROWS}.marked")
    page.mouse.move(left + height / 8, top + height * 3 / 8)
    expect(marked, "the row of what is pointed at").to_have_count(1)
    expect(marked).to_contain_text("cup")
    page.mouse.move(left + height * 0.22, top + height * 0.97)
    expect(marked, "the row of what is not pointed at any more").to_have_count(0)
