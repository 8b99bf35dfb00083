"""The page on the embedded checkpoint, in a real browser: the way of a person from a picture to an answer."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.conftest import Served
from tests.support.asking import answered

ANSWER = "[data-testid=answer]"
THINGS = "[data-testid=things] tbody tr"


def test_every_task_is_answered_about_one_picture_in_english_and_in_spanish(
    visit: Any, served: Served, examples: Path
) -> None:
    visitor = visit(served.url)
    page = visitor.page
    answers, rows = page.locator(ANSWER), page.locator(THINGS)
    visitor.upload(examples / "moons.webp")
    page.get_by_label("In Spanish too").check()
    for task, field, text in (
        ("Describe", None, ""),
        ("Find", "Things to look for", "moon ; house"),
        ("Read text", None, ""),
        ("Outline", "Things to look for", "Moon ; house"),
        ("Answer", "Question", "How many moons are there?"),
        ("Free prompt", "Prompt", "detect moon"),
        ("Guess the question", "Answer", "two"),
    ):
        visitor.choose(task)
        if field:
            visitor.field(field).fill(text)
        with answered(page, task):
            visitor.run()
        expect(page.locator("#status"), f"the model of {task}").to_contain_text(served.model)
        if task in ("Find", "Outline", "Free prompt"):
            expect(rows.first, f"what {task} found").to_be_visible()
            expect(rows.filter(has_text="luna").first, f"the labels of {task}").to_contain_text("moon")
            expect(page.get_by_role("columnheader", name="Etiqueta"), f"the table of {task}").to_be_visible()
            expect(page.locator("#drawn img"), f"the drawing of {task}").to_be_visible()
            expect(page.locator("[data-testid=legend]"), f"the legend of {task}").to_contain_text("moon")
            continue
        expect(answers.first, f"the answer of {task}").not_to_be_empty()
        expect(page.locator("#drawn"), f"the drawing of {task}").not_to_be_visible()
        if task != "Read text":  # nothing is written in this picture
            expect(answers, f"the answers of {task}").to_have_count(2)
            expect(page.locator(f"{ANSWER}[lang=es]"), f"the Spanish of {task}").not_to_be_empty()


def test_who_arrives_reads_what_the_model_is_for_and_runs_every_example_by_one_click(
    visit: Any, served: Served
) -> None:
    page = visit(served.url).page
    if served.model == "demo":
        expect(page.locator("#banner")).to_contain_text("small practice model")
        page.locator("#banner").get_by_text(re.compile("how to use a real one")).click()
        expect(page.locator("#banner")).to_contain_text("--model 3b")
    cards = page.locator(".example")
    expect(cards.first).to_be_visible()
    for number in range(cards.count()):
        with answered(page, f"example {number}"):
            cards.nth(number).click()
        expect(page.locator(f"{ANSWER}, {THINGS}").first, f"what example {number} brings").to_be_visible()
        expect(page.locator("#picture img"), f"the picture of example {number}").to_be_visible()
