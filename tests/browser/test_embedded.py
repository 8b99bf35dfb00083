"""The page on the embedded checkpoint, in a real browser: the way of a person from a picture to an answer."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import Served

ANSWER = "[data-testid=answer]"
THINGS = "[data-testid=things] tbody tr"


@pytest.mark.parametrize(
    ("task", "field", "text"),
    [
        ("Describe", None, ""),
        ("Read text", None, ""),
        ("Answer", "Question", "How many moons are there?"),
        ("Guess the question", "Answer", "two"),
    ],
)
def test_an_uploaded_picture_is_answered_in_words(
    visit: Any, served: Served, examples: Path, task: str, field: str | None, text: str
) -> None:
    visitor = visit(served.url)
    visitor.upload(examples / "moons.webp")
    visitor.choose(task)
    if field:
        visitor.field(field).fill(text)
    visitor.run()
    expect(visitor.page.locator(ANSWER)).not_to_be_empty()
    expect(visitor.page.locator("#status")).to_contain_text(served.model)
    expect(visitor.page.locator("#drawn")).not_to_be_visible()


@pytest.mark.parametrize(
    ("task", "field", "text"),
    [("Find", "Things to look for", "moon ; house"), ("Outline", "Things to look for", "moon ; house"),
     ("Free prompt", "Prompt", "detect moon")],
)  # fmt: skip
def test_things_are_drawn_listed_and_named_in_the_legend(
    visit: Any, served: Served, examples: Path, task: str, field: str, text: str
) -> None:
    visitor = visit(served.url)
    visitor.upload(examples / "moons.webp")
    visitor.choose(task)
    visitor.field(field).fill(text)
    visitor.run()
    expect(visitor.page.locator(THINGS).first).to_be_visible()
    expect(visitor.page.locator("#drawn img")).to_be_visible()
    expect(visitor.page.locator("[data-testid=legend]")).to_contain_text("moon")


def test_spanish_stands_beside_the_english(visit: Any, served: Served, examples: Path) -> None:
    visitor = visit(served.url)
    visitor.upload(examples / "moons.webp")
    visitor.page.get_by_label("In Spanish too").check()
    visitor.run()
    expect(visitor.page.locator(f"{ANSWER}[lang=es]")).not_to_be_empty()
    expect(visitor.page.locator(ANSWER)).to_have_count(2)


def test_labels_stand_in_spanish_in_the_table(visit: Any, served: Served, examples: Path) -> None:
    visitor = visit(served.url)
    visitor.upload(examples / "moons.webp")
    visitor.choose("Find")
    visitor.field("Things to look for").fill("moon")
    visitor.page.get_by_label("In Spanish too").check()
    visitor.run()
    expect(visitor.page.locator(THINGS).first).to_contain_text("luna")
    expect(visitor.page.get_by_role("columnheader", name="Etiqueta")).to_be_visible()


def test_every_example_runs_by_one_click(visit: Any, served: Served) -> None:
    visitor = visit(served.url)
    cards = visitor.page.locator(".example")
    expect(cards.first).to_be_visible()
    for number in range(cards.count()):
        cards.nth(number).click()
        expect(visitor.page.locator("#stop")).not_to_be_visible()
        expect(visitor.page.locator(f"{ANSWER}, {THINGS}").first).to_be_visible()
        expect(visitor.page.locator("#picture img")).to_be_visible()


def test_the_page_says_that_this_is_the_embedded_checkpoint(visit: Any, served: Served) -> None:
    if served.model != "demo":
        pytest.skip("another model was asked for")
    banner = visit(served.url).page.locator("#banner")
    expect(banner).to_contain_text("small practice model")
    banner.get_by_text(re.compile("how to use a real one")).click()
    expect(banner).to_contain_text("--model 3b")
