"""Whatever is typed or said stands on the page as it is: as a label, in the table, in the raw output, in an error."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from inference.errors import Busy
from tests.hostile.texts import TEXTS
from tests.support.asking import answered
from tests.support.serving import StandInPipeline, thing

ACTIVE = (
    "a script", "a picture that runs script", "a frame", "SVG", "a broken tag", "a comment left open",
    "a character in hexadecimal", "the end of an attribute", "the end of a text field", "Markdown",
    "a Markdown picture",
    "a Markdown link", "LaTeX", "a template", "format fields", "an i18n mark", "a style that covers the page",
)  # fmt: skip

RENDERED = "#results :is(iframe, script, svg[onload]), img[src='x'], iframe[src^='javascript']"
"""What none of the texts may become."""


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {"max_upload_mb": 2}


def test_neither_an_answer_nor_an_error_is_ever_rendered(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    visitor = visit(url)
    page = visitor.page
    page.on("dialog", lambda dialog: pytest.fail(f"script ran: {dialog.message}"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visitor.upload(picture)
    visitor.choose("Find")
    visitor.field("Things to look for").fill("boat")
    texts = [" ".join(TEXTS[name].split()) for name in ACTIVE]
    pipeline.words, pipeline.problems = " ".join(texts), tuple(texts)
    pipeline.things = tuple(
        thing(words, (place, 10, place + 9, 40), 0.9, translated_label=words) for place, words in enumerate(texts)
    )
    with answered(page):
        visitor.run()
    expect(page.locator("[data-testid=things] tbody tr")).to_have_count(len(texts))
    for words in texts:
        expect(page.locator("[data-testid=things] tbody")).to_contain_text(words)
        expect(page.locator("#notes")).to_contain_text(words)
        expect(page.locator("[data-testid=legend]")).to_contain_text(words)
    assert page.locator(RENDERED).count() == 0
    error = " and ".join(TEXTS[name] for name in ("a picture that runs script", "a frame", "a Markdown picture"))
    pipeline.failure = Busy(error)
    visitor.run()
    expect(page.locator("#notes")).to_contain_text(error)
    expect(page.locator("#run")).to_be_enabled()
    assert page.locator(RENDERED).count() == 0
    assert page.title() == "PaliGemma 2"
    assert not [address for address in asked if "example.invalid" in address]
