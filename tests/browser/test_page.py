"""What the page does by itself, whatever the model says, in a real browser on stand-ins."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from inference.errors import Busy
from inference.hosting import ModelStatus
from tests.support.serving import READY, StandInHost, StandInPipeline, serve, thing

ANSWER = "[data-testid=answer]"
LAPTOP, TELEPHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
IN_SIGHT = """() => {
  const { top } = [...document.querySelectorAll(".results")].find((pane) => pane.offsetParent).getBoundingClientRect();
  return top >= 0 && top < innerHeight / 3;
}"""
TASKS = {
    "Describe": (None, True),
    "Read text": (None, False),
    "Answer": ("question", False),
    "Guess the question": ("answer", False),
    "Find": ("objects", False),
    "Outline": ("objects", False),
    "Free prompt": ("prompt", False),
}


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {"max_upload_mb": 2}


def test_a_task_shows_the_inputs_that_it_needs_and_no_others(visit: Any, url: str) -> None:
    page = visit(url).page
    for task, (needed, has_length) in TASKS.items():
        page.locator("#task").get_by_role("radio", name=task, exact=True).check()
        for field in ("question", "answer", "objects", "prompt"):
            expect(page.locator(f"#{field}")).to_be_visible(visible=field == needed)
        expect(page.locator("#typed-in-spanish")).to_be_visible(visible=needed is not None)
        expect(page.locator("#length")).to_be_visible(visible=has_length)


def test_each_text_field_keeps_what_was_typed(visit: Any, url: str) -> None:
    visitor = visit(url)
    visitor.choose("Answer")
    visitor.field("Question").fill("what is it?")
    visitor.choose("Find")
    expect(visitor.field("Things to look for")).to_have_value("")
    visitor.choose("Answer")
    expect(visitor.field("Question")).to_have_value("what is it?")


def test_the_form_reaches_the_pipeline(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    visitor = visit(url)
    visitor.upload(picture)
    visitor.choose("Answer")
    visitor.field("Question").fill("¿qué es?")
    visitor.page.get_by_label("I type in Spanish").check()
    expect(visitor.page.get_by_label("In Spanish too")).to_be_checked()
    visitor.field("Question").press("Enter")
    expect(visitor.page.locator(ANSWER).first).to_have_text("two red boats")
    (request,) = pipeline.requests
    assert (request.task, request.text, request.input_language, request.translate) == ("answer", "¿qué es?", "es", True)
    assert request.image.size == (100, 80)
    assert request.max_new_tokens is None


def test_without_a_picture_the_page_asks_for_one(visit: Any, url: str) -> None:
    visitor = visit(url)
    visitor.run()
    expect(visitor.page.get_by_role("alert").filter(has_text="Add a picture first.").first).to_be_visible()
    expect(visitor.page.locator("#run")).to_be_enabled()


def test_what_is_missing_is_said_and_the_answer_that_is_there_stays(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    visitor = visit(url)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator(ANSWER)).to_have_text("two red boats")
    visitor.choose("Answer")
    visitor.run()
    expect(visitor.page.locator("#notes").get_by_role("alert")).to_have_text("Type a question about the picture.")
    expect(visitor.page.locator(ANSWER)).to_have_text("two red boats")
    expect(visitor.page.locator("#run")).to_be_enabled()
    assert len(pipeline.requests) == 1


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The beginning of a JPEG, which the browser takes for one."""
    path = tmp_path / "broken.jpg"
    Image.effect_noise((400, 400), 90).save(path)
    path.write_bytes(path.read_bytes()[:900])
    return path


@pytest.mark.parametrize(("tab", "prefix"), [("One picture", ""), ("Compare", "compare-")])
def test_a_broken_picture_is_told_of_at_once_until_another_comes(
    visit: Any, url: str, broken: Path, picture: Path, tab: str, prefix: str
) -> None:
    page = visit(url).page
    page.get_by_role("tab", name=tab).click()
    field, note = page.locator(f"#{prefix}picture"), page.locator(f"#{prefix}picture-note")
    field.locator("input[type=file]").set_input_files(broken)
    expect(note.get_by_role("alert")).to_contain_text("The picture is damaged or incomplete")
    field.locator("input[type=file]").set_input_files(picture)
    expect(note).to_be_hidden()
    field.locator("input[type=file]").set_input_files(broken)
    expect(note.get_by_role("alert")).to_be_visible()
    field.get_by_role("button", name="Remove Image").click()
    expect(note).to_be_hidden()


def drop(page: Page, field: str, *names: str) -> None:
    """Lets files with these names fall on a field."""
    files = page.evaluate_handle(
        "names => names.reduce((all, name) => (all.items.add(new File(['?'], name, "
        "{type: name.endsWith('.txt') ? 'text/plain' : 'image/png'})), all), new DataTransfer())",
        list(names),
    )
    zone = page.locator(f"{field} button.upload-container")
    zone.dispatch_event("dragenter", {"dataTransfer": files})
    zone.dispatch_event("drop", {"dataTransfer": files})


@pytest.mark.parametrize(
    ("locale", "tab", "field", "words"),
    [
        ("en-US", "One picture", "#picture", "Only pictures can be added here"),
        ("es-ES", "Una imagen", "#picture", "Aquí solo se pueden añadir imágenes"),
        ("en-US", "Compare", "#compare-picture", "Only pictures can be added here"),
        ("zh-CN", "视频", "#video-clip", "这里只能添加视频"),
    ],
)
@pytest.mark.parametrize("how", ["chosen", "dropped"])
def test_a_file_of_another_kind_is_refused_in_the_language_of_the_page(
    visit: Any, url: str, tmp_path: Path, locale: str, tab: str, field: str, words: str, how: str
) -> None:
    path = tmp_path / "doc.txt"
    path.write_text("a text")
    page = visit(url, locale=locale).page
    page.get_by_role("tab", name=tab).click()
    if how == "chosen":
        page.locator(f"{field} input[type=file]").set_input_files(path)
    else:
        drop(page, field, "doc.txt")
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text(words)
    with page.expect_file_chooser():
        page.locator(f"{field} button.upload-container").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_picture_stays_when_a_file_of_another_kind_comes(visit: Any, url: str, tmp_path: Path, picture: Path) -> None:
    path = tmp_path / "doc.txt"
    path.write_text("a text")
    visitor = visit(url)
    page = visitor.page
    visitor.upload(picture)
    page.locator("#picture input[type=file]").set_input_files(path)
    expect(page.get_by_role("alert")).to_contain_text("Only pictures can be added here")
    visitor.run()
    expect(page.locator(ANSWER)).to_have_text("two red boats")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_broken_picture_is_refused_by_a_sentence(visit: Any, url: str, broken: Path) -> None:
    visitor = visit(url, locale="es-ES")
    visitor.page.locator("#picture input[type=file]").set_input_files(broken)
    expect(visitor.page.locator("#picture-note")).to_contain_text("La imagen está dañada")
    visitor.page.locator("#run").click()
    expect(visitor.page.locator("#notes")).to_contain_text("La imagen está dañada")


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        pytest.param(Busy("Too many wait. <b>Try</b> again."), "wait. <b>Try</b> again.", id="plain error"),
        pytest.param(RuntimeError("secret"), "Something went wrong on our side.", id="bug"),
    ],
)
def test_an_error_leaves_what_was_written_and_says_what_happened(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, failure: Exception, sentence: str
) -> None:
    pipeline.failure = failure
    visitor = visit(url)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator("#notes")).to_contain_text(sentence)
    expect(visitor.page.locator("#answer-panel")).to_contain_text("two")
    expect(visitor.page.locator("body")).not_to_contain_text("secret")
    expect(visitor.page.locator("#run")).to_be_enabled()
    expect(visitor.page.locator("#stop")).not_to_be_visible()


@pytest.mark.parametrize("how", ["click", "Escape"])
def test_stop_keeps_what_was_written_and_frees_the_model(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, how: str
) -> None:
    pipeline.held = True
    visitor = visit(url)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator("[data-testid=writing]")).to_have_text("two")
    expect(visitor.page.locator("#run")).to_be_disabled()
    if how == "click":
        visitor.page.get_by_role("button", name="Stop").click()
    else:
        visitor.page.keyboard.press("Escape")
    expect(visitor.page.locator("#status")).to_contain_text("Stopped.")
    expect(visitor.page.locator("#notes")).to_contain_text("You stopped this.")
    expect(visitor.page.locator("[data-testid=writing]")).to_have_text("two")
    expect(visitor.page.locator("#run")).to_be_enabled()
    assert pipeline.cancelled.wait(10)


def test_keys_of_an_input_method_and_of_open_lists_run_and_stop_nothing(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    composed = (
        "(field, key) => field.dispatchEvent(new KeyboardEvent('keydown', {key, isComposing: true, bubbles: true}))"
    )
    pipeline.held = True
    visitor = visit(url)
    page = visitor.page
    visitor.upload(picture)
    visitor.choose("Answer")
    field = visitor.field("Question")
    field.fill("wen hao")
    page.evaluate(f"([key]) => ({composed})(document.querySelector('#question textarea'), key)", ["Enter"])
    assert page.locator("#results").evaluate("pane => pane.style.minHeight") == ""
    visitor.run()
    expect(page.locator("[data-testid=writing]")).to_be_visible()
    page.evaluate("() => { window.stops = 0; document.querySelector('#stop').onclick = () => stops++; }")
    page.evaluate(f"([key]) => ({composed})(document.querySelector('#question textarea'), key)", ["Escape"])
    page.get_by_text("Advanced").click()
    page.locator("#language").get_by_role("combobox").click()
    page.keyboard.press("Escape")
    assert page.evaluate("stops") == 0
    page.locator("h1").first.click()
    page.keyboard.press("Escape")
    assert page.evaluate("stops") == 1


def test_control_and_enter_run(visit: Any, url: str, picture: Path) -> None:
    visitor = visit(url)
    visitor.upload(picture)
    visitor.page.keyboard.press("Control+Enter")
    expect(visitor.page.locator(ANSWER)).to_have_text("two red boats")


def test_what_a_model_writes_is_shown_as_it_is(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    visitor = visit(url)
    visitor.upload(picture)
    for words in (
        "<loc0001><b>bold</b>",
        "**bold** _it_ # head",
        "<script>document.title='x'</script>",
        "${1+1}{{this}}`",
        "a&lt;b",
    ):
        pipeline.words = words
        visitor.run()
        expect(visitor.page.locator(ANSWER)).to_have_text(words)
        expect(visitor.page.locator("#run")).to_be_enabled()
    assert visitor.page.title() == "PaliGemma 2"


def test_the_threshold_hides_the_same_things_everywhere_but_in_the_json(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.things = (thing("boat", (10, 10, 40, 40), 0.9), thing("cup", (50, 20, 90, 70), 0.3))
    visitor = visit(url)
    page = visitor.page
    visitor.upload(picture)
    visitor.choose("Find")
    visitor.field("Things to look for").fill("boat ; cup")
    visitor.run()
    rows = page.locator("[data-testid=things] tbody tr")
    expect(rows).to_have_count(2)
    before = page.locator("#drawn img").get_attribute("src")
    page.locator("#threshold").get_by_role("spinbutton").fill("50")
    page.locator("#threshold").get_by_role("spinbutton").press("Tab")
    expect(rows).to_have_count(1)
    expect(page.locator("[data-testid=legend]")).to_have_text("boat")
    expect(page.locator("#found")).to_contain_text("1 more is less sure than 50% and hidden.")
    expect(page.locator("#drawn img")).not_to_have_attribute("src", before or "")
    page.get_by_role("button", name=re.compile("Raw output and JSON")).click()
    expect(page.locator("#json")).to_contain_text("cup")
    assert len(pipeline.requests) == 1


@pytest.mark.parametrize("screen", [LAPTOP, TELEPHONE], ids=["laptop", "telephone"])
def test_the_answer_comes_into_sight_wherever_it_was_asked_for(
    visit: Any, url: str, pipeline: StandInPipeline, screen: dict[str, int]
) -> None:
    found = thing("boat", (10, 10, 40, 40), 0.9), thing("cup", (50, 20, 90, 70), 0.3)
    pipeline.things = tuple(replace(each, mask=None) for each in found)  # there is none of the size of an example
    page = visit(url, viewport=screen).page
    page.locator(".example").nth(2).click()
    rows = page.locator("[data-testid=things] tbody tr")
    expect(rows).to_have_count(2)
    page.wait_for_function(IN_SIGHT)
    expect(page.locator("#run")).to_be_enabled()
    page.locator(".example").last.click()  # below the answer
    page.wait_for_function(IN_SIGHT)
    expect(page.locator("#run")).to_be_enabled()
    rows.last.get_by_role("button").click()
    page.wait_for_function(IN_SIGHT)
    expect(page.locator("#run")).to_be_enabled()
    page.wait_for_function(IN_SIGHT)


@pytest.mark.parametrize("tab", ["Many pictures", "Compare"])
def test_the_answer_about_an_example_comes_into_sight_on_a_telephone(visit: Any, url: str, tab: str) -> None:
    page = visit(url, viewport=TELEPHONE).page
    page.get_by_role("tab", name=tab).click()
    page.locator(".try:visible").click()
    expect(page.locator("[data-testid=batch] .answered, [data-testid=timings]").first).to_be_visible()
    page.wait_for_function(IN_SIGHT)
    page.locator(".run-button:visible").click()
    page.wait_for_function(IN_SIGHT)
    expect(page.locator(".run-button:visible")).to_be_enabled()
    page.wait_for_function(IN_SIGHT)


def test_the_place_of_the_answer_keeps_its_height_until_another_is_there(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.things = (thing("boat", (10, 10, 40, 40), 0.9),)
    visitor = visit(url)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator("#exports")).to_be_visible()
    expect(visitor.page.locator("#run")).to_be_enabled()
    height = "document.querySelector('#results').offsetHeight"
    before = visitor.page.evaluate(height)
    pipeline.things, pipeline.held = (), True
    visitor.run()
    expect(visitor.page.locator("[data-testid=writing]")).to_be_visible()
    assert visitor.page.evaluate(height) == before
    pipeline.go.set()
    expect(visitor.page.locator(ANSWER)).to_be_visible()
    visitor.page.wait_for_function(f"{height} < {before}")


def test_stop_stays_in_reach_on_a_telephone(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    pipeline.held = True
    visitor = visit(url, viewport=TELEPHONE)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator("[data-testid=writing]")).to_be_visible()
    visitor.page.wait_for_function(IN_SIGHT)
    expect(visitor.page.locator("#stop")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("starter", ["#run", ".word"])
def test_whoever_runs_by_the_keyboard_goes_on_by_it(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, starter: str
) -> None:
    visitor = visit(url)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator(ANSWER)).to_be_visible()
    expect(visitor.page.locator("#run")).to_be_enabled()
    pipeline.held = True
    visitor.page.locator(starter).press("Enter")
    expect(visitor.page.locator("#stop")).to_be_focused()
    pipeline.go.set()
    expect(visitor.page.locator("#run")).to_be_focused()


def test_problems_are_shown_as_notes(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    pipeline.problems = ("One object was <cut> off.",)
    visitor = visit(url)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator("#notes")).to_have_text("One object was <cut> off.")


def test_a_narrow_screen_needs_no_scrolling_sideways(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.things = (thing("a thing with quite a long name for its size", (10, 10, 40, 40), 0.9),)
    visitor = visit(url, viewport={"width": 390, "height": 800})
    visitor.upload(picture)
    visitor.choose("Outline")
    visitor.field("Things to look for").fill("boat")
    visitor.run()
    expect(visitor.page.locator("[data-testid=things]")).to_be_visible()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_handle_of_a_slider_is_whole_on_a_narrow_screen(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.things = (thing("boat", (10, 10, 40, 40), 0.9),)
    visitor = visit(url, viewport={"width": 390, "height": 800})
    visitor.upload(picture)
    visitor.run()
    slider = visitor.page.locator("#threshold input[type=range]")
    slider.scroll_into_view_if_needed()
    # The handle is higher than the line on which it slides.
    at = "({left, bottom}) => document.elementFromPoint(left + 8, bottom + 2)?.type"
    assert slider.evaluate(f"slider => ({at})(slider.getBoundingClientRect())") == "range"


@pytest.mark.parametrize("width", [390, 820])
def test_a_table_of_things_is_whole_and_its_colours_stand_beside_the_labels(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, width: int
) -> None:
    pipeline.things = (thing("mushroom", (10, 10, 40, 40), 1), thing("a much longer name", (50, 20, 90, 70), 1))
    visitor = visit(url, viewport={"width": width, "height": 1100})
    visitor.upload(picture)
    visitor.run()
    cells = visitor.page.locator("[data-testid=things] tbody td:first-child")
    expect(cells).to_have_count(2)
    for cell in cells.all():
        swatch, label = (cell.locator(part).bounding_box() for part in (".swatch", "button"))
        assert swatch["x"] + swatch["width"] <= label["x"]
        assert label["y"] <= swatch["y"] + swatch["height"] / 2 <= label["y"] + label["height"]
    frame = visitor.page.locator("#rows .table-frame")
    assert frame.evaluate("frame => frame.scrollWidth <= frame.clientWidth")


def test_the_name_of_a_picture_can_be_read_over_it(visit: Any, url: str, picture: Path) -> None:
    visitor = visit(url)
    visitor.upload(picture)
    ground = "getComputedStyle(document.querySelector('#picture > label')).backgroundColor"
    assert visitor.page.evaluate(ground) == "rgb(248, 248, 246)"


def test_dark_mode_follows_the_browser(visit: Any, url: str) -> None:
    brightness = "Number(getComputedStyle(document.querySelector('#form')).backgroundColor.match(/\\d+/)[0])"
    assert visit(url, color_scheme="dark").page.evaluate(brightness) < 64
    assert visit(url, color_scheme="light").page.evaluate(brightness) > 192


def test_the_page_is_up_while_a_model_loads_and_notices_when_it_is_ready(visit: Any) -> None:
    loading = ModelStatus("big", "loading", progress=0.4, detail="Loading the weights of big")
    host = StandInHost((loading,))
    with serve(StandInPipeline(), host) as url:
        page = visit(url).page
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "40")
        host.states = (replace(loading, progress=0.8),)
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "80")
        host.states = (READY,)
        expect(page.locator("#loading")).to_be_hidden()


def test_what_a_reader_unfolds_stays_open_while_another_model_loads(visit: Any) -> None:
    loading = ModelStatus("big", "loading", progress=0.4, detail="Loading the weights of big")
    host = StandInHost((replace(READY, embedded=True), loading))
    with serve(StandInPipeline(), host) as url:
        page = visit(url).page
        page.locator("#banner summary").click()
        expect(page.locator("#banner code")).to_be_visible()
        host.states = (host.states[0], replace(loading, progress=0.8))
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "80")
        expect(page.locator("#banner code")).to_be_visible()


def test_a_model_that_cannot_load_leaves_the_page_up_with_the_reason(visit: Any) -> None:
    host = StandInHost((ModelStatus("big", "failed", detail="Accept the licence on <the hub>."),))
    with serve(StandInPipeline(), host) as url:
        page = visit(url).page
        expect(page.locator("#banner").get_by_role("alert")).to_contain_text("Accept the licence on <the hub>.")


def test_several_models_give_a_choice(visit: Any, picture: Path) -> None:
    pipeline, host = StandInPipeline(), StandInHost((READY, replace(READY, name="other")))
    with serve(pipeline, host) as url:
        visitor = visit(url)
        visitor.upload(picture)
        visitor.page.get_by_role("radio", name="other").check()
        visitor.run()
        expect(visitor.page.locator(ANSWER)).to_be_visible()
    assert pipeline.requests[0].model == "other"


def test_one_model_gives_none(visit: Any, url: str) -> None:
    expect(visit(url).page.locator("#model")).not_to_be_visible()


@pytest.mark.parametrize("mcp", [True, False])
def test_the_page_of_the_api_tells_of_tools_only_where_there_are_some(visit: Any, mcp: bool) -> None:
    with serve(StandInPipeline(), StandInHost(), mcp=mcp) as url:
        page = visit(url).page
        page.get_by_role("button", name="Use via API").click()
        languages = page.locator(".api-docs .snippets")
        expect(languages.get_by_text("Python")).to_be_visible()
        expect(languages.get_by_text("MCP")).to_be_visible(visible=mcp)
