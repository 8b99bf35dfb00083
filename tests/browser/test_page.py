"""What the page does by itself, whatever the model says, in a real browser on stand-ins."""

import re
from base64 import b64encode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from inference.errors import Busy
from inference.hosting import ModelStatus
from tests.support.serving import READY, StandInHost, StandInPipeline, serve, thing

ANSWER = "[data-testid=answer]"
LAPTOP, TELEPHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
IN_SIGHT = """() => {
  const { top } = [...document.querySelectorAll(".results")].find((pane) => pane.offsetParent).getBoundingClientRect();
  return top >= 0 && top < innerHeight / 3;
}"""
NEEDS = {
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


def test_the_form_shows_what_a_task_needs_and_keeps_what_was_typed(visit: Any, url: str) -> None:
    visitor = visit(url)
    page = visitor.page
    expect(page.locator("#model"), "one model is no choice").not_to_be_visible()
    for task, (needed, has_length) in NEEDS.items():
        visitor.choose(task)
        for field in ("question", "answer", "objects", "prompt"):
            expect(page.locator(f"#{field}"), f"{field} of {task}").to_be_visible(visible=field == needed)
        expect(page.locator("#typed-in-spanish"), task).to_be_visible(visible=needed is not None)
        expect(page.locator("#length"), task).to_be_visible(visible=has_length)
    visitor.choose("Answer")
    visitor.field("Question").fill("what is it?")
    visitor.choose("Find")
    expect(visitor.field("Things to look for"), "a field of its own").to_have_value("")
    expect(visitor.field("Things to look for"), "on a telephone").to_have_attribute("autocapitalize", "none")
    visitor.choose("Answer")
    expect(visitor.field("Question"), "kept").to_have_value("what is it?")


def test_the_form_reaches_the_pipeline_by_enter_in_a_field_and_by_control_and_enter_anywhere(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
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

    expect(visitor.page.locator("#run")).to_be_enabled()
    visitor.page.evaluate("document.activeElement.blur()")
    pipeline.words = "by two keys"
    visitor.page.keyboard.press("Control+Enter")
    expect(visitor.page.locator(ANSWER).first).to_have_text("by two keys")


def test_what_is_missing_is_said_and_the_answer_that_is_there_stays(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    visitor = visit(url)
    visitor.run()
    expect(visitor.page.get_by_role("alert").filter(has_text="Add a picture first.").first).to_be_visible()
    expect(visitor.page.locator("#run")).to_be_enabled()
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


def test_a_broken_picture_is_told_of_at_once_until_another_comes(
    visit: Any, url: str, broken: Path, picture: Path, tmp_path: Path
) -> None:
    unseen = tmp_path / "scan.tiff"
    Image.open(picture).save(unseen)
    page = visit(url, locale="es-ES").page
    for tab, prefix in {"Comparar": "compare-", "Una imagen": ""}.items():
        page.get_by_role("tab", name=tab).click()
        field, note = page.locator(f"#{prefix}picture"), page.locator(f"#{prefix}picture-note")
        alert = note.get_by_role("alert")
        field.locator("input[type=file]").set_input_files(broken)
        expect(alert, f"{tab}: a broken one").to_contain_text("La imagen está dañada o incompleta")
        field.locator("input[type=file]").set_input_files(picture)
        expect(note, f"{tab}: another one").to_be_hidden()
        field.locator("input[type=file]").set_input_files(unseen)
        expect(note, f"{tab}: one that the browser cannot show").to_contain_text("se puede preguntar por ella")
        no_camera = page.locator(f"#{prefix}picture-no-device")
        expect(no_camera).to_be_hidden()
        field.get_by_role("button", name="Remove Image").or_(field.get_by_role("button", name="Clear")).first.click()
        field.get_by_label("camera").or_(field.get_by_label("Capture")).first.click()
        field.get_by_text("Click to Access Webcam").click()
        expect(no_camera.get_by_role("alert"), f"{tab}: without a camera").to_contain_text("No se puede usar la cámara")
        field.locator("input[type=file]").set_input_files(broken)
        expect(alert, f"{tab}: a broken one again").to_be_visible()
        field.get_by_role("button", name="Remove Image").click()
        expect(note, f"{tab}: none").to_be_hidden()
    field.locator("input[type=file]").set_input_files(broken)
    expect(alert).to_be_visible()
    page.locator("#run").click()
    expect(page.locator("#notes"), "an answer about it is refused too").to_contain_text("La imagen está dañada")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("La imagen está dañada")
    field.locator("input[type=file]").set_input_files(picture)
    expect(note).to_be_hidden()
    page.locator("#run").click()
    # It goes by itself after ten seconds.
    expect(toast, "a new question takes away what was said of the last one").to_have_count(0, timeout=5_000)


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
    ("locale", "fields", "words"),
    [
        ("en-US", {"One picture": "#picture", "Compare": "#compare-picture"}, "Only pictures can be added here"),
        ("es-ES", {"Una imagen": "#picture"}, "Aquí solo se pueden añadir imágenes"),
        ("zh-CN", {"视频": "#video-clip"}, "这里只能添加视频"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_the_language_of_the_page(
    visit: Any, url: str, tmp_path: Path, locale: str, fields: dict[str, str], words: str
) -> None:
    path = tmp_path / "doc.txt"
    path.write_text("a text")
    page = visit(url, locale=locale).page
    alerts = page.get_by_role("alert")
    for tab, field in fields.items():
        page.get_by_role("tab", name=tab).click()
        for how in ("chosen", "dropped"):
            if how == "chosen":
                page.locator(f"{field} input[type=file]").set_input_files(path)
            else:
                drop(page, field, "doc.txt")
            expect(alerts, f"{tab}, {how}").to_have_count(1)
            expect(alerts, f"{tab}, {how}").to_contain_text(words)
            with page.expect_file_chooser():
                page.locator(f"{field} button.upload-container").click()
            expect(alerts, f"{tab}, {how}, another one is looked for").to_have_count(0)


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


BRING = """async ([kind, data, target, content]) => {
  const files = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
  files.items.add(new File([bytes], "brought.png", { type: "image/png" }));
  if (target.endsWith("textarea")) files.setData("text/plain", "moon");
  const options = { bubbles: true, cancelable: true, [data]: files };
  const event = kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options);
  return !document.querySelector(target).dispatchEvent(event);
}"""


def test_a_picture_that_is_pasted_or_falls_beside_its_field_comes_to_the_open_tab(
    visit: Any, url: str, picture: Path
) -> None:
    content = b64encode(picture.read_bytes()).decode("ascii")
    page = visit(url).page

    def bring(kind: str, target: str) -> bool:
        data = "clipboardData" if kind == "paste" else "dataTransfer"
        return bool(page.evaluate(BRING, [kind, data, target, content]))

    assert bring("dragover", "h1"), "nothing can be dropped there else"
    assert bring("drop", "h1"), "the browser goes to the picture"
    expect(page.locator("#picture img")).to_be_visible()
    page.get_by_role("tab", name="Many pictures").click()
    for count in (1, 2):
        assert bring("paste", "body")
        expect(page.locator("#batch-pictures img"), "one more").to_have_count(count)
    page.get_by_role("tab", name="Video").click()
    assert bring("paste", "body")
    expect(page.get_by_role("alert")).to_contain_text("Only videos can be added here")

    page.get_by_role("tab", name="Compare").click()
    held: list[Route] = []
    page.route("**/upload?*", lambda upload: held.append(upload))
    page.locator("#compare-task").get_by_role("radio", name="Answer", exact=True).check()
    expect(page.locator("#compare-question")).to_be_visible()
    assert not bring("paste", "#compare-question textarea"), "text is wanted there"
    assert bring("paste", "body")
    told = page.locator("#compare-picture").get_by_text("Uploading 1 file")
    expect(told).to_be_visible()
    ground = "part => getComputedStyle(part).backgroundColor"
    assert told.evaluate(ground) == "rgba(0, 0, 0, 0)", "the words of an upload are no bar"
    for upload in held:
        upload.continue_()
    expect(page.locator("#compare-picture img")).to_be_visible()


def test_an_error_leaves_what_was_written_and_says_what_happened(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    visitor = visit(url)
    page = visitor.page
    visitor.upload(picture)
    for written, failure, sentence in (
        ("two", Busy("Too many wait. <b>Try</b> again."), "wait. <b>Try</b> again."),
        ("seven", RuntimeError("secret"), "Something went wrong on our side."),
    ):
        pipeline.words, pipeline.failure = f"{written} red boats", failure
        visitor.run()
        expect(page.locator("#notes")).to_contain_text(sentence)
        expect(page.locator("#answer-panel"), sentence).to_contain_text(written)
        expect(page.locator("body")).not_to_contain_text("secret")
        expect(page.locator("#run"), sentence).to_be_enabled()
        expect(page.locator("#stop"), sentence).not_to_be_visible()


def test_stop_keeps_what_was_written_and_frees_the_model(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    pipeline.held = True
    visitor = visit(url)
    page = visitor.page
    visitor.upload(picture)
    for how, written in {"click": "two", "Escape": "seven"}.items():
        pipeline.words = f"{written} red boats"
        pipeline.cancelled.clear()
        visitor.run()
        expect(page.locator("[data-testid=writing]"), f"before {how}").to_have_text(written)
        expect(page.locator("#run"), f"before {how}").to_be_disabled()
        if how == "click":
            page.get_by_role("button", name="Stop").click()
        else:
            page.keyboard.press(how)
        expect(page.locator("#status"), how).to_contain_text("Stopped.")
        expect(page.locator("#notes"), how).to_contain_text("You stopped this.")
        expect(page.locator("[data-testid=writing]"), how).to_have_text(written)
        expect(page.locator("#run"), how).to_be_enabled()
        assert pipeline.cancelled.wait(10), how


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
    page.locator("#picture").get_by_role("button", name="Fullscreen").click()
    expect(page.locator(".block.fullscreen")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".block.fullscreen")).to_have_count(0)
    assert page.evaluate("stops") == 0
    page.locator("h1").first.click()
    page.keyboard.press("Escape")
    assert page.evaluate("stops") == 1


def test_what_a_model_writes_is_shown_as_it_is(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    pipeline.words = (
        "<loc0001><b>bold</b> **bold** _it_ # head <script>document.title='x'</script> ${1+1}{{this}}` a&lt;b"
    )
    visitor = visit(url)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator(ANSWER)).to_have_text(pipeline.words)
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


def test_the_answer_about_an_example_comes_into_sight_on_a_telephone(visit: Any, url: str) -> None:
    page = visit(url, viewport=TELEPHONE).page
    answers = {"Many pictures": "[data-testid=batch] .answered", "Compare": "[data-testid=timings]"}
    for tab, answer in answers.items():
        page.get_by_role("tab", name=tab).click()
        page.locator(".try:visible").click()
        expect(page.locator(answer).first).to_be_visible()
        page.wait_for_function(IN_SIGHT)
        page.locator(".run-button:visible").click()
        page.wait_for_function(IN_SIGHT)
        expect(page.locator(".run-button:visible"), tab).to_be_enabled()
        page.wait_for_function(IN_SIGHT)


@pytest.mark.parametrize("failure", [None, Busy("Too many wait.")], ids=["answered", "failed"])
def test_the_place_of_the_answer_keeps_its_height_until_the_next_has_ended(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, failure: Exception | None
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
    pipeline.failure = failure
    pipeline.go.set()
    expect(visitor.page.locator("#stop")).not_to_be_visible()
    visitor.page.wait_for_function(f"{height} < {before}")


def test_stop_stays_in_reach_on_a_telephone(visit: Any, url: str, pipeline: StandInPipeline, picture: Path) -> None:
    pipeline.held = True
    visitor = visit(url, viewport=TELEPHONE)
    visitor.upload(picture)
    visitor.run()
    expect(visitor.page.locator("[data-testid=writing]")).to_be_visible()
    visitor.page.wait_for_function(IN_SIGHT)
    expect(visitor.page.locator("#stop")).to_be_in_viewport(ratio=1)


def test_whoever_runs_by_the_keyboard_goes_on_by_it(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    visitor = visit(url)
    page = visitor.page
    visitor.upload(picture)
    visitor.run()
    for starter in ("#run", ".word"):
        expect(page.locator(ANSWER), f"before {starter}").to_be_visible()
        expect(page.locator("#run"), f"before {starter}").to_be_enabled()
        pipeline.held = True
        pipeline.go.clear()
        page.locator(starter).press("Enter")
        expect(page.locator("#stop"), starter).to_be_focused()
        pipeline.go.set()
        expect(page.locator("#run"), starter).to_be_focused()


def test_what_was_found_is_whole_on_a_narrow_screen(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, tmp_path: Path
) -> None:
    pipeline.things = (
        thing("mushroom", (10, 10, 40, 40), 1, translated_label="seta"),
        thing("a thing with quite a long name for its size", (50, 20, 90, 70), 1, translated_label="una cosa"),
    )
    visitor = visit(url, viewport={"width": 390, "height": 1100})
    page = visitor.page
    visitor.upload(picture)
    visitor.choose("Outline")
    visitor.field("Things to look for").fill("boat")
    visitor.run()
    cells = page.locator("[data-testid=things] tbody td:first-child")
    expect(cells).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "scrolls sideways"

    slider = page.locator("#threshold input[type=range]")
    slider.scroll_into_view_if_needed()
    # The handle is higher than the line on which it slides.
    at = "({left, bottom}) => document.elementFromPoint(left + 8, bottom + 2)?.type"
    assert slider.evaluate(f"slider => ({at})(slider.getBoundingClientRect())") == "range", "the handle is cut"

    for width in (390, 820):
        page.set_viewport_size({"width": width, "height": 1100})
        page.wait_for_function(f"innerWidth === {width}")
        for cell in cells.all():
            swatch, label = (cell.locator(part).bounding_box() for part in (".swatch", "button"))
            assert swatch["x"] + swatch["width"] <= label["x"], f"colour beside its label, {width} pixels"
            middle = swatch["y"] + swatch["height"] / 2
            assert label["y"] <= middle <= label["y"] + label["height"], f"colour beside its label, {width} pixels"
        frame = page.locator("#rows .table-frame")
        assert frame.evaluate("frame => frame.scrollWidth <= frame.clientWidth"), f"table cut, {width} pixels"

    page.emulate_media(forced_colors="active")
    assert len(colours_of(page.locator("#threshold input[type=range]"))) > 1, "a slider in the colours of a system"
    switch = page.get_by_label("In Spanish too")
    switch.check()
    ticked = switch.screenshot()
    switch.uncheck()
    assert switch.screenshot() != ticked, "a tick in the colours of a system"
    page.emulate_media(forced_colors="none")

    flat = tmp_path / "flat.png"
    Image.new("RGB", (800, 5)).save(flat)
    pipeline.things = (replace(thing("line", (10, 0, 40, 4), 1), mask=None),) * 40
    visitor.upload(flat)
    visitor.run()
    expect(cells).to_have_count(40)
    assert frame.bounding_box()["height"] <= 600, "the downloads are far below"
    with page.expect_download():
        page.locator("#drawn").get_by_role("button", name="Download").click()


def colours_of(part: Locator) -> set[Any]:
    """What is seen of a part of the page."""
    return {colour for _, colour in Image.open(BytesIO(part.screenshot())).convert("RGB").getcolors(1 << 24) or ()}


def test_the_page_is_as_dark_as_the_browser_and_the_name_of_a_picture_can_be_read_over_it(
    visit: Any, url: str, picture: Path
) -> None:
    brightness = "Number(getComputedStyle(document.querySelector('#form')).backgroundColor.match(/\\d+/)[0])"
    visitor = visit(url, color_scheme="dark")
    assert visitor.page.evaluate(brightness) < 64
    visitor.page.emulate_media(color_scheme="light")
    visitor.page.wait_for_function(f"{brightness} > 192")
    visitor.upload(picture)
    ground = "getComputedStyle(document.querySelector('#picture > label')).backgroundColor"
    assert visitor.page.evaluate(ground) == "rgb(248, 248, 246)"


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


def test_what_a_reader_unfolds_stays_open_while_another_model_loads_until_that_one_fails(visit: Any) -> None:
    loading = ModelStatus("big", "loading", progress=0.4, detail="Loading the weights of big")
    host = StandInHost((replace(READY, embedded=True), loading))
    with serve(StandInPipeline(), host) as url:
        page = visit(url).page
        page.locator("#banner summary").click()
        expect(page.locator("#banner code")).to_be_visible()
        host.states = (host.states[0], replace(loading, progress=0.8))
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "80")
        expect(page.locator("#banner code")).to_be_visible()
        host.states = (host.states[0], ModelStatus("big", "failed", detail="Accept the licence on <the hub>."))
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


def test_the_page_of_the_api_tells_of_tools_only_where_there_are_some(visit: Any, url: str) -> None:
    with serve(StandInPipeline(), StandInHost(), mcp=True) as with_tools:
        for address, offered in ((url, False), (with_tools, True)):
            page = visit(address).page
            page.get_by_role("button", name="Use via API").click()
            languages = page.locator(".api-docs .snippets")
            expect(languages.get_by_text("Python")).to_be_visible()
            expect(languages.get_by_text("MCP")).to_be_visible(visible=offered)
