"""Takes the screenshots of the README: `python -m tests.browser.screenshots URL` while the app runs there."""

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

FOLDER = Path(__file__).parent.parent.parent / "assets" / "screenshots"
VIEWS: dict[str, tuple[int, int, str, str, str]] = {
    "outline-light": (1280, 900, "light", "en-US", "Outline"),
    "find-dark": (1280, 900, "dark", "en-US", "Find"),
    "describe-light": (1280, 900, "light", "en-US", "Describe"),
    "describe-spanish": (1280, 900, "light", "es-ES", "Describir"),
    "narrow-light": (390, 844, "light", "en-US", "Outline"),
    "narrow-dark": (390, 844, "dark", "en-US", "Describe"),
}
"""Name of the file: width, height, colour scheme, language, and how the example's card begins."""


def take(browser: Browser, url: str, name: str) -> None:
    """Runs an example and saves what the page looks like then."""
    width, height, scheme, locale, example = VIEWS[name]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.locator(".example").filter(has_text=example).first.click()
    expect(page.locator("[data-testid=answer], [data-testid=things]").first).to_be_visible(timeout=60_000)
    expect(page.locator("#stop")).not_to_be_visible()
    page.mouse.move(0, 0)
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    taken = page.screenshot(full_page=width < 760, animations="disabled")
    Image.open(BytesIO(taken)).save(FOLDER / f"{name}.webp", quality=90, method=6)
    context.close()


def main(url: str) -> None:
    """Takes them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in VIEWS:
            take(browser, url, name)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
