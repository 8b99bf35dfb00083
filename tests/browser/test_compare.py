"""Two answers side by side, in a real browser on stand-ins that answer differently."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from inference.errors import Busy
from inference.images import open_picture
from inference.pipeline import Progress
from inference.sentences import Sentence
from inference.types import Request, Result
from tests.support.serving import READY, StandInHost, StandInPipeline, serve, thing

LEFT, RIGHT = READY.name, "other"


@dataclass
class TwoVoices:
    """Answers as another stand-in does for each model, and in its own Spanish when it is asked to.

    Attributes:
        voices: A stand-in for each model.
        together: Passed by two answers that are given at the same time; broken by one that waits alone.
    """

    voices: dict[str, StandInPipeline] = field(
        default_factory=lambda: {LEFT: StandInPipeline(), RIGHT: StandInPipeline()}
    )
    together: threading.Barrier | None = None

    def stream(self, request: Request, **options: Any) -> Iterator[Progress | Result]:
        if self.together is not None:
            self.together.wait(20)
        for item in self.voices[request.model or LEFT].stream(request, **options):
            if isinstance(item, Result) and request.language == "es":
                item = replace(item, text="tres barcos", raw="tres barcos")
            yield item if isinstance(item, Progress) else replace(item, model=request.model or LEFT)


@pytest.fixture(scope="module")
def pipeline() -> TwoVoices:
    return TwoVoices()


@pytest.fixture(scope="module")
def url(pipeline: TwoVoices) -> Iterator[str]:
    with serve(pipeline, StandInHost((READY, replace(READY, name=RIGHT)))) as address:
        yield address


@pytest.fixture(autouse=True)
def _fresh(pipeline: TwoVoices) -> Iterator[None]:
    yield
    for voice in pipeline.voices.values():
        voice.go.set()
    pipeline.__init__()  # type: ignore[misc]


class Compare:
    """The tab, open in a browser."""

    def __init__(self, visitor: Any, picture: Path | None = None) -> None:
        self.page = visitor.page
        self.page.get_by_role("tab", name="Compare").click()
        expect(self.page.locator("#compare-run")).to_be_visible()
        if picture is not None:
            self.page.locator("#compare-picture input[type=file]").set_input_files(str(picture))
            expect(self.page.locator("#compare-picture img")).to_be_visible()

    def choose(self, group: str, name: str) -> None:
        self.page.locator(f"#compare-{group}").get_by_role("radio", name=name, exact=True).check()

    def look_for(self, objects: str) -> None:
        self.choose("task", "Find")
        self.page.locator("#compare-objects").get_by_role("textbox").fill(objects)

    def run(self) -> None:
        self.page.locator("#compare-run").click()

    def side(self, name: str) -> Any:
        return self.page.locator(f"#compare-{name}")


@pytest.fixture
def compare(visit: Any, url: str, picture: Path) -> Compare:
    return Compare(visit(url), picture)


def test_the_two_models_are_asked_at_once_and_their_words_are_marked_where_they_differ(
    compare: Compare, pipeline: TwoVoices
) -> None:
    pipeline.voices[RIGHT].words = "two <b>blue</b> boats"
    pipeline.together = threading.Barrier(2)
    compare.run()
    expect(compare.side("left").locator("[data-testid=side-answer]")).to_have_text("two red boats")
    expect(compare.side("right").locator("[data-testid=side-answer]")).to_have_text("two <b>blue</b> boats")
    expect(compare.side("left").locator("mark")).to_have_text(["red"])
    expect(compare.side("right").locator("mark")).to_have_text(["<b>blue</b>"])
    expect(compare.page.locator("#compare-differences")).to_contain_text("They differ in 1 place")
    expect(compare.page.locator("[data-testid=timings] thead")).to_contain_text(RIGHT)
    expect(compare.page.locator("[data-testid=timings] tbody tr")).to_have_count(6)
    assert [voice.requests[0].task for voice in pipeline.voices.values()] == ["describe", "describe"]
    underline = "getComputedStyle(document.querySelector('mark.differs')).textDecorationLine"
    assert compare.page.evaluate(underline) == "underline"


def test_answers_that_agree_have_no_marks_and_stay_until_their_picture_goes(compare: Compare) -> None:
    page = compare.page
    compare.run()
    expect(page.locator("#compare-differences")).to_contain_text("Both say the same, word for word.")
    expect(page.locator("mark")).to_have_count(0)
    last = page.locator("[data-testid=timings] tbody tr").last.locator("th, td")
    expect(last).to_have_count(3)
    lines = last.evaluate_all("cells => cells.map(cell => getComputedStyle(cell).borderBottomWidth)")
    assert lines == ["0px"] * 3, "no line ends the table of times"

    compare.choose("task", "Answer")
    compare.run()
    expect(page.locator("#compare-status")).to_contain_text("Type a question about the picture.")
    expect(compare.side("left").locator("[data-testid=side-answer]")).to_have_text("two red boats")
    expect(page.locator("#compare-differences")).to_contain_text("Both say the same")

    page.locator("#compare-picture").get_by_role("button", name="Remove Image").click()
    expect(page.locator("#compare-status")).to_contain_text("side by side")
    expect(page.locator("#compare-differences")).to_be_hidden()
    expect(compare.side("left").locator("[data-testid=side-answer]")).to_have_count(0)


def test_stop_is_heard_while_the_picture_is_being_opened(
    compare: Compare, pipeline: TwoVoices, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def wait_and_open(*arguments: Any) -> Image.Image:
        assert go.wait(60)
        return open_picture(*arguments)

    monkeypatch.setattr("ui.compare.open_picture", wait_and_open)
    compare.run()
    with compare.page.expect_response(lambda response: response.request.method == "POST"):
        compare.page.locator("#compare-stop").click()
    go.set()
    expect(compare.page.locator("#compare-status")).to_contain_text("You stopped this.")
    expect(compare.page.locator("#compare-run")).to_be_enabled()
    assert pipeline.voices[LEFT].requests == []


def test_things_are_paired_by_place_and_name_and_fit_a_narrow_screen(compare: Compare, pipeline: TwoVoices) -> None:
    pipeline.voices[LEFT].things = (
        thing("boat", (10, 10, 40, 40), 0.9),
        thing("cup", (50, 20, 90, 70), 0.3),
        thing("a thing with quite a long name for its size", (0, 60, 20, 78), 0.5),
    )
    pipeline.voices[RIGHT].things = (
        thing("boat", (10, 10, 41, 40), 0.8),
        thing("cup", (60, 20, 99, 70), 0.4),
        thing("<i>fish</i>", (70, 2, 98, 18), 1),
    )
    compare.look_for("boat ; cup")
    compare.run()
    rows = compare.page.locator("[data-testid=pairs] tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(0)).to_contain_text("Same")
    expect(rows.nth(1)).to_contain_text("Moved")
    expect(rows.nth(2)).to_contain_text("Only left")
    expect(rows.nth(3)).to_contain_text("<i>fish</i>")
    expect(rows.nth(3)).to_contain_text("Only right")
    expect(compare.page.locator("#compare-differences")).to_contain_text("They differ about 3 of 4 things.")
    for side in ("left", "right"):
        expect(compare.side(side).locator("img"), side).to_be_visible()
    for width in (820, 390):
        compare.page.set_viewport_size({"width": width, "height": 800})
        compare.page.wait_for_function(f"innerWidth === {width}")
        frame = compare.page.locator(".table-frame").first
        assert frame.evaluate("frame => frame.scrollWidth <= frame.clientWidth"), f"table cut, {width} pixels"
    assert compare.page.evaluate("document.documentElement.scrollWidth") <= 390, "scrolls sideways"


def test_one_side_that_fails_or_is_stopped_leaves_the_other(compare: Compare, pipeline: TwoVoices) -> None:
    left, right = (compare.side(name) for name in ("left", "right"))
    pipeline.voices[RIGHT].failure = Busy(Sentence("Too many <b>wait</b>. Try again."))
    compare.run()
    expect(left.locator("[data-testid=side-answer]")).to_have_text("two red boats")
    expect(right.get_by_role("alert")).to_have_text("Too many <b>wait</b>. Try again.")
    expect(compare.page.locator("#compare-run"), "after the failure").to_be_enabled()
    expect(compare.page.locator("#compare-differences"), "after the failure").to_be_hidden()

    pipeline.voices[LEFT].words = "a blue boat"
    pipeline.voices[RIGHT].failure, pipeline.voices[RIGHT].held = None, True
    pipeline.voices[RIGHT].cancelled.clear()
    compare.run()
    expect(left.locator("[data-testid=side-answer]")).to_have_text("a blue boat")
    expect(right).to_contain_text("Answering …")
    compare.page.locator("#compare-stop").click()
    expect(right).to_contain_text("Stopped.")
    expect(left.locator("[data-testid=side-answer]"), "kept").to_have_text("a blue boat")
    expect(compare.page.locator("#compare-run"), "after Stop").to_be_enabled()
    assert pipeline.voices[RIGHT].cancelled.wait(10)

    pipeline.voices[RIGHT].cancelled.clear()
    compare.run()
    expect(right).to_contain_text("Answering …")
    compare.page.locator("#compare-picture").get_by_role("button", name="Remove Image").click()
    expect(compare.page.locator("#compare-status"), "without its picture").to_contain_text("side by side")
    expect(compare.page.locator("[data-testid=side-answer]")).to_have_count(0)
    expect(right).not_to_contain_text("Stopped.")
    expect(compare.page.locator("#compare-run"), "without its picture").to_be_enabled()
    assert pipeline.voices[RIGHT].cancelled.wait(10)


def test_the_models_own_spanish_stands_beside_the_translated_one_or_beside_why_there_is_none(
    compare: Compare, pipeline: TwoVoices
) -> None:
    class Untranslated(StandInPipeline):
        def stream(self, request: Request, **options: Any) -> Iterator[Progress | Result]:
            for item in super().stream(request, **options):
                problems = ("There is no Spanish translation: <b>memory</b>.",) if request.translate else ()
                yield replace(item, translation=None, problems=problems) if isinstance(item, Result) else item

    compare.choose("way", "Spanish, own or translated")
    tasks = compare.page.locator("#compare-task").get_by_role("radio")
    expect(tasks).to_have_count(3)
    expect(compare.page.locator("#compare-other")).to_be_hidden()
    expect(compare.page.locator("#compare-translate")).to_be_hidden()
    compare.run()
    expect(compare.side("left").locator("[data-testid=side-answer]")).to_have_text("tres barcos")
    expect(compare.side("right").locator("[data-testid=side-answer]")).to_have_text(
        ["dos barcos rojos", "two red boats"]
    )
    expect(compare.side("left").locator("mark")).to_have_text(["tres"])
    asked = {(request.language, request.translate) for request in pipeline.voices[LEFT].requests}
    assert asked == {("es", False), ("en", True)}

    expect(compare.page.locator("#compare-run")).to_be_enabled()
    pipeline.voices[LEFT] = Untranslated()
    compare.run()
    expect(compare.side("right")).to_contain_text("There is no Spanish translation: <b>memory</b>.")
    expect(compare.side("right")).to_contain_text("The model wrote nothing.")


def test_without_a_picture_the_tab_asks_for_one_and_has_an_example_for_the_chosen_task(
    visit: Any, url: str, pipeline: TwoVoices
) -> None:
    tab = Compare(visit(url))
    tab.run()
    expect(tab.page.locator("#compare-status")).to_contain_text("Add a picture first.")
    expect(tab.page.locator("#compare-run")).to_be_enabled()

    tab.page.locator("#compare-try").click()
    for side in ("left", "right"):
        expect(tab.side(side).locator("[data-testid=side-answer]"), side).to_have_text("two red boats")
    expect(tab.page.locator("#compare-picture img")).to_be_visible()
    expect(tab.page.locator("#compare-run"), "after the example").to_be_enabled()
    voices = pipeline.voices.values()
    assert {request.task for voice in voices for request in voice.requests} == {"describe"}

    for voice in voices:
        voice.requests.clear()
    tab.choose("task", "Find")
    tab.page.locator("#compare-try").click()
    expect(tab.page.locator("#compare-differences")).to_contain_text("Neither side found anything.")
    asked = {(request.task, request.text) for voice in voices for request in voice.requests}
    assert asked == {("detect", "person ; helmet ; flag")}


def test_one_model_is_compared_with_itself_in_spanish_only(visit: Any, picture: Path) -> None:
    with serve(StandInPipeline(), StandInHost()) as url:
        tab = Compare(visit(url), picture)
        expect(tab.page.locator("#compare-way").get_by_role("radio")).to_have_count(1)
        expect(tab.page.locator("#compare-way")).to_contain_text("--model 3b,3b:int8")
        tab.run()
        expect(tab.side("right").locator("[data-testid=side-answer]").first).to_have_text("dos barcos rojos")


def test_a_choice_of_models_outlives_their_loading(visit: Any) -> None:
    loading = replace(READY, name="3b", asked="3b", state="loading", progress=0.5)
    host = StandInHost((READY, loading))
    with serve(StandInPipeline(), host) as url:
        tab = Compare(visit(url))
        expect(tab.page.locator("#compare-other").get_by_role("radio", name="3b")).to_be_checked()
        host.states = (READY, replace(loading, name="paligemma2-3b-mix-448", state="ready"))
        expect(tab.page.locator("#compare-other").get_by_role("radio", name="paligemma2-3b-mix-448")).to_be_checked()
        expect(tab.page.locator("#compare-model").get_by_role("radio", name=READY.name)).to_be_checked()
