"""How long to wait for an answer in the browser: what is seen first is not yet its end."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect


@contextmanager
def over(page: Page, what: str = "what was asked") -> Iterator[None]:
    """Waits until what is asked meanwhile on the first tab is answered, stopped or refused, or has failed.

    Gradio repeats the last words of an answer when its stream ends: it undoes what happened in the milliseconds since
    they were first shown, and does not hear a click on Run in them. The page tells of that end.
    """
    page.evaluate(
        "() => { window.end = new Promise((tell) => document.addEventListener('answered', tell, { once: true })); }"
    )
    yield
    page.evaluate("window.end")
    expect(page.locator("#stop"), f"Stop after {what}").not_to_be_visible()
    expect(page.locator("#run"), f"Run after {what}").to_be_enabled()


@contextmanager
def answered(page: Page, what: str = "what was asked") -> Iterator[None]:
    """Waits until what is asked meanwhile on the first tab is answered."""
    # Before the first word of an answer the page looks as it does after the last one of the answer before.
    page.evaluate("document.querySelector('#status .status')?.setAttribute('data-earlier', '')")
    with over(page, what):
        yield
    expect(page.locator("#status .status:not(.live, [data-earlier])"), f"the answer to {what}").to_be_visible()
