"""Takes the pictures of the README while the app runs: `python -m tests.browser.screenshots URL [NAME…]`.

Each still is one tab with an answer in it; `session` is the animated one. Without names it takes them all.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ASSETS = Path(__file__).parent.parent.parent / "assets"
FOLDER = ASSETS / "screenshots"
EXAMPLES = ASSETS / "examples"
PATIENCE = 120_000
"""Milliseconds for an answer: the real models take their time on a processor."""

SESSION_SIZE = (1120, 760)
SESSION_WIDTH = 840
SESSION_LIMIT = 1_500_000
"""Bytes."""


@dataclass(frozen=True, slots=True)
class View:
    """A still.

    Attributes:
        prepare: Brings the page to where it is taken.
        size: Of the window.
        scheme: "light" or "dark".
        locale: The browser's language.
    """

    prepare: Callable[[Page], None]
    size: tuple[int, int] = (1280, 900)
    scheme: str = "light"
    locale: str = "en-US"


def example(task: str) -> Callable[[Page], None]:
    """Runs the first example of a task.

    Args:
        task: How its card begins, in the page's language.
    """

    def prepare(page: Page) -> None:
        page.locator(".example").filter(has_text=task).first.click()
        answered(page, "#stop", page.locator("[data-testid=answer], [data-testid=things]"))

    return prepare


def batch(page: Page) -> None:
    """Several drawn scenes, in which things are looked for."""
    fill_batch(page)
    answered(page, "#batch-stop", page.locator("#batch-pack"))


def fill_batch(page: Page) -> None:
    """Asks about several drawn scenes."""
    page.locator("[role=tab]").nth(1).click()
    scenes = [EXAMPLES / f"{name}.webp" for name in ("boats", "moons", "fish", "mushrooms")]
    page.locator("#batch-pictures input[type=file]").first.set_input_files(scenes)
    expect(page.locator("#batch-pictures img")).to_have_count(len(scenes))
    page.locator("#batch-task").get_by_role("radio", name="Find").check()
    page.locator("#batch-objects textarea").fill("boat ; moon ; fish ; mushroom")
    page.locator("#batch-run").click()


def video(page: Page) -> None:
    """A clip of drawn scenes, in which things are looked for frame by frame."""
    page.locator("[role=tab]").nth(2).click()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "scenes.mp4"
        write_clip(clip, [EXAMPLES / f"{name}.webp" for name in ("boats", "moons", "fish", "star")])
        page.locator("#video-clip input[type=file]").set_input_files(clip)
        expect(page.locator("#video-clip").get_by_text("scenes").first).to_be_visible()
        page.locator("#video-task").get_by_role("radio", name="Find").check()
        page.locator("#video-objects textarea").fill("boat ; moon ; fish ; star")
        page.locator("#video-run").click()
        answered(page, "#video-stop", page.locator("#video-downloads"))


def compare(page: Page) -> None:
    """The same scene on two sides."""
    page.locator("[role=tab]").nth(3).click()
    page.locator("#compare-picture input[type=file]").set_input_files(EXAMPLES / "boats.webp")
    expect(page.locator("#compare-picture img")).to_be_visible()
    page.locator("#compare-run").click()
    answered(page, "#compare-stop", page.locator("[data-testid=timings]"))


def answered(page: Page, stop: str, answer: Locator) -> None:
    """Waits until an answer is complete."""
    expect(answer.first).to_be_visible(timeout=PATIENCE)
    expect(page.locator(stop)).not_to_be_visible(timeout=PATIENCE)


def write_clip(path: Path, pictures: list[Path], *, seconds: int = 2) -> None:
    """Makes a clip that shows each picture for as long."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(4))
        stream.width, stream.height, stream.pix_fmt = 448, 448, "yuv420p"
        for picture in pictures:
            with Image.open(picture) as image:
                frame = image.convert("RGB").resize((448, 448))
            for _ in range(4 * seconds):
                container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


VIEWS: dict[str, View] = {
    "outline-light": View(example("Outline")),
    "find-dark": View(example("Find"), scheme="dark"),
    "describe-spanish": View(example("Describir"), locale="es-ES"),
    "batch-light": View(batch),
    "video-dark": View(video, scheme="dark"),
    "compare-light": View(compare),
}
"""The stills by the names of their files."""


def shot(page: Page) -> Image.Image:
    """What the window shows, when nothing moves any more."""
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    return Image.open(BytesIO(page.screenshot(animations="disabled"))).convert("RGB")


def take(browser: Browser, url: str, name: str) -> None:
    """Saves a still."""
    view = VIEWS[name]
    page = open_page(browser, url, view)
    view.prepare(page)
    shot(page).save(FOLDER / f"{name}.webp", quality=86, method=6)
    page.context.close()


def open_page(browser: Browser, url: str, view: View) -> Page:
    """The page in a window of its own."""
    width, height = view.size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=view.scheme, locale=view.locale  # type: ignore[arg-type]
    )  # fmt: skip
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    expect(page.locator("#run")).to_be_enabled(timeout=PATIENCE)
    return page


def session(page: Page) -> Iterator[tuple[Image.Image, int]]:
    """A short visit.

    Yields:
        What the window shows, and for how many milliseconds.
    """
    yield shot(page), 1200
    for task, milliseconds in (("Outline", 2200), ("Find", 1800), ("Answer", 1800)):
        example(task)(page)
        yield shot(page), milliseconds
    fill_batch(page)
    rows = page.locator("#batch-rows tbody tr")
    expect(rows.first).to_be_visible(timeout=PATIENCE)
    yield shot(page), 700
    answered(page, "#batch-stop", page.locator("#batch-pack"))
    yield shot(page), 2200
    for act in (video, compare):
        act(page)
        yield shot(page), 2200


def take_session(browser: Browser, url: str) -> None:
    """Saves the animated picture, as well as its limit allows.

    Raises:
        ValueError: It stays too large.
    """
    page = open_page(browser, url, View(lambda _: None, size=SESSION_SIZE))
    seen = list(session(page))
    page.context.close()
    height = SESSION_WIDTH * SESSION_SIZE[1] // SESSION_SIZE[0]
    frames = [image.resize((SESSION_WIDTH, height), Image.Resampling.LANCZOS) for image, _ in seen]
    target = FOLDER / "session.webp"
    for quality in (80, 65, 50):
        frames[0].save(
            target, save_all=True, append_images=frames[1:], duration=[time for _, time in seen], loop=0,
            quality=quality, method=6,
        )  # fmt: skip
        if target.stat().st_size <= SESSION_LIMIT:
            return
    raise ValueError(f"{target.name} is larger than {SESSION_LIMIT:,} bytes")


def main(url: str, *names: str) -> None:
    """Takes the pictures of these names, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in names or (*VIEWS, "session"):
            if name == "session":
                take_session(browser, url)
            else:
                take(browser, url, name)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
