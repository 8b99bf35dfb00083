"""Which examples the page offers: drawn scenes for the embedded checkpoint, photographs for the others."""

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from inference.hosting import ModelStatus
from tests.support.serving import READY, StandInHost, StandInPipeline, serve

EMBEDDED = replace(READY, name="demo", embedded=True)
DRAWN, PHOTO = "moon ; house", "person ; helmet ; flag"


def offers(page: Page, *texts: str) -> None:
    for text in (DRAWN, PHOTO):
        expect(page.locator(".example").filter(has_text=text)).to_have_count(int(text in texts))


@pytest.mark.parametrize(
    ("statuses", "texts"),
    [
        pytest.param((EMBEDDED,), (DRAWN,), id="embedded"),
        pytest.param((READY,), (PHOTO,), id="real"),
        pytest.param((READY, EMBEDDED), (DRAWN, PHOTO), id="both"),
    ],
)
def test_the_examples_fit_the_models(visit: Any, statuses: tuple[ModelStatus, ...], texts: tuple[str, ...]) -> None:
    with serve(StandInPipeline(), StandInHost(statuses)) as url:
        offers(visit(url).page, *texts)


def test_the_examples_change_when_a_real_model_is_ready(visit: Any) -> None:
    host = StandInHost((replace(READY, state="loading", progress=0.5),))
    with serve(StandInPipeline(), host) as url:
        page = visit(url).page
        offers(page, DRAWN)
        host.states = (READY,)
        offers(page, PHOTO)
        page.locator(".example").filter(has_text=PHOTO).click()
        expect(page.locator("[data-testid=answer]").first).to_be_visible()
