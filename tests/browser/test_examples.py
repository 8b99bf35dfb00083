"""Which examples the page offers: drawn scenes for the embedded checkpoint, photographs for the others."""

from dataclasses import replace
from typing import Any

from playwright.sync_api import Page, expect

from tests.support.serving import READY, StandInHost, StandInPipeline, serve

EMBEDDED = replace(READY, name="demo", embedded=True)
DRAWN, PHOTO = "moon ; house", "person ; helmet ; flag"


def offers(page: Page, *texts: str) -> None:
    for text in (DRAWN, PHOTO):
        example = page.locator(".example").filter(has_text=text)
        expect(example, f"{text}, where there should be {texts}").to_have_count(int(text in texts))


def test_the_examples_fit_the_models_that_are_ready(visit: Any) -> None:
    loading = {"state": "loading", "progress": 0.5}
    host = StandInHost((replace(READY, **loading), replace(EMBEDDED, **loading)))
    with serve(StandInPipeline(), host) as url:
        page = visit(url).page
        offers(page, DRAWN)
        host.states = (READY, replace(EMBEDDED, **loading))
        offers(page, PHOTO)
        host.states = (READY, EMBEDDED)
        offers(page, DRAWN, PHOTO)
        page.locator(".example").filter(has_text=PHOTO).click()
        expect(page.locator("[data-testid=answer]").first).to_be_visible()
