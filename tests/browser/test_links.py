"""Links that reopen a task with its fields, in a real browser, and what of an address is believed."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect


def test_an_address_opens_a_tab_and_a_task_with_its_fields(visit: Any, url: str) -> None:
    visitor = visit(f"{url}?tab=compare&task=detect&objects=star%20;%20<b>heart</b>&translate=1&max_tokens=64")
    page = visitor.page
    expect(page.locator("#compare-run")).to_be_visible()
    expect(page.locator("#run")).to_be_hidden()
    page.get_by_role("tab", name="One picture").click()
    expect(page.locator("#task").get_by_role("radio", name="Find")).to_be_checked()
    expect(visitor.field("Things to look for")).to_have_value("star ; <b>heart</b>")
    expect(page.get_by_label("In Spanish too").first).to_be_checked()
    expect(page.locator("#question")).to_be_hidden()
    page.get_by_role("button", name="Advanced").first.click()
    expect(page.locator("#max-tokens input[type=number]")).to_have_value("64")


def test_what_is_not_allowed_in_an_address_is_left_out(visit: Any, url: str) -> None:
    wrong = "length=enormous&language=klingon&model=other&max_tokens=99999&translate=maybe&question=" + "x" * 1001
    page = visit(f"{url}?tab=<script>document.title='x'</script>&task=describe&{wrong}").page
    expect(page.locator("#run")).to_be_visible()
    expect(page.locator("#task").get_by_role("radio", name="Describe")).to_be_checked()
    expect(page.locator("#length").get_by_role("radio", name="Short")).to_be_checked()
    expect(page.get_by_label("In Spanish too").first).not_to_be_checked()
    page.get_by_role("button", name="Advanced").first.click()
    expect(page.locator("#max-tokens input[type=number]")).to_have_value("0")
    assert page.title() == "PaliGemma 2"


def test_the_button_makes_an_address_that_opens_the_same_task(visit: Any, url: str) -> None:
    visitor = visit(url, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.page
    visitor.choose("Answer")
    visitor.field("Question").fill("how many & which?")
    page.get_by_label("In Spanish too").first.check()
    page.get_by_role("button", name="Copy a link to this task").click()
    expect(page.get_by_text("The link is in the address bar")).to_be_visible()
    query = parse_qs(urlsplit(page.url).query)
    assert query["task"] == ["answer"]
    assert query["question"] == ["how many & which?"]
    assert query["translate"] == ["1"]
    assert "objects" not in query
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    again = visit(page.url)
    expect(again.field("Question")).to_have_value("how many & which?")
    expect(again.page.locator("#task").get_by_role("radio", name="Answer")).to_be_checked()
