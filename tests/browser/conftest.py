import os
import shutil
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, Request, expect, sync_playwright

from tests.support.stand_ins import _fresh, pipeline, settings, url  # noqa: F401 (fixtures)

PATIENCE = 60_000
"""Milliseconds until something that a test waits for counts as missing: machines that run tests may be busy."""

TOLD_OF_A_FAILURE = 3000  # characters of the page's text

MISSING = "Chromium is missing; on Debian or Ubuntu get it by `sudo apt-get install chromium`"

VISITORS = pytest.StashKey[list["Visitor"]]()


def chromium() -> str | None:
    """Where the browser is."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def pytest_configure() -> None:
    """Refuses to begin without a browser where there must be one: else every test would skip, and all seem well."""
    required = os.environ.get("CI", "").lower() == "true" or os.environ.get("REQUIRE_BROWSER") == "1"
    if required and chromium() is None:
        raise pytest.UsageError(MISSING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says what stood on the pages of a test that failed: on a busy machine it may not fail a second time."""
    report = yield
    if report.when == "call" and report.failed:
        for visitor in item.stash.get(VISITORS, []):
            report.sections.append((f"page at {visitor.page.url}", visitor.told()))
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


class Visitor:
    """Someone who opens the page; notes what the browser complains about.

    Attributes:
        page: The open page.
        complaints: Uncaught errors of scripts.
        noted: What the page asked of the app and what the browser wrote to its console, with the seconds since the
            visit began.
    """

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-US"} | options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.noted: list[str] = []
        began = time.monotonic()

        def note(what: str) -> None:
            self.noted.append(f"{time.monotonic() - began:7.3f} {what}")

        def of_the_queue(kind: str, request: Request) -> None:
            if "/queue/" in request.url or kind == "failed":
                note(f"{kind} {request.method} {request.url.partition('/gradio_api')[2] or request.url}")

        self.page.on("request", lambda request: of_the_queue("asked", request))
        self.page.on("requestfinished", lambda request: of_the_queue("answered", request))
        self.page.on("requestfailed", lambda request: of_the_queue("failed", request))
        self.page.on("console", lambda message: note(f"console: {message.text}"))
        self.page.goto(address)
        expect(self.page.locator("#run")).to_be_enabled()

    def choose(self, task: str) -> None:
        self.page.locator("#task").get_by_role("radio", name=task, exact=True).check()

    def upload(self, path: object) -> None:
        self.page.locator("#picture input[type=file]").set_input_files(str(path))
        expect(self.page.locator("#picture img")).to_be_visible()

    def run(self) -> None:
        self.page.get_by_role("button", name="Run", exact=True).click()

    def field(self, name: str) -> Any:
        return self.page.get_by_role("textbox", name=name)

    def told(self) -> str:
        """What was noted, and what stands on the page now."""
        try:
            text = self.page.locator("body").inner_text(timeout=5000)[:TOLD_OF_A_FAILURE]
        except Error as error:
            text = f"(not to be read: {error})"
        return "\n".join([*self.noted, "---", text])


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Opens a page for a visitor; complaints of its scripts fail the test."""
    visitors: list[Visitor] = request.node.stash.setdefault(VISITORS, [])

    def open_page(address: str, **options: Any) -> Visitor:
        visitors.append(Visitor(browser, address, **options))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.context.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []
