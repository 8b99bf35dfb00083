"""The words of the page: complete in each language, and the form fits the registry of tasks."""

import dataclasses
import string

import pytest

from inference.tasks import LENGTHS, TASKS
from ui import inputs
from ui.inputs import Inputs
from ui.texts import Texts

TEXTS = Texts.read()


class Visitor:
    """Someone whose browser wants these languages."""

    def __init__(self, languages: str) -> None:
        self.headers = {"accept-language": languages}


@pytest.mark.parametrize("language", TEXTS.by_language)
def test_every_language_has_the_same_texts_with_the_same_fields(language: str) -> None:
    english, other = TEXTS.by_language["en"], TEXTS.by_language[language]
    assert set(other) == set(english)
    for key, text in other.items():
        fields = {field for _, field, _, _ in string.Formatter().parse(text) if field}
        assert fields == {field for _, field, _, _ in string.Formatter().parse(english[key]) if field}, key


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("es-MX,es;q=0.9,en;q=0.8", "es"), ("zh-TW,zh;q=0.9", "zh"), ("fr,es;q=0.5", "es"), ("fr", "en"), ("", "en"),
        ("EN-gb", "en"),
    ],
)  # fmt: skip
def test_a_visitor_reads_the_first_language_that_there_is(header: str, language: str) -> None:
    assert TEXTS.language_of(Visitor(header)) == language  # type: ignore[arg-type]


def test_every_task_and_length_has_its_words() -> None:
    for task in TASKS.values():
        assert TEXTS.later(f"task.{task.name}")
        assert TEXTS.later(f"hint.{task.name}")
        if task.text:
            assert TEXTS.later(f"{task.text}.label")
    for length in LENGTHS:
        assert TEXTS.later(f"length.{length}")


def test_every_input_that_a_task_may_need_is_in_the_form() -> None:
    fields = {field.name for field in dataclasses.fields(Inputs)}
    for task in TASKS.values():
        assert set(inputs.needed_by(task)) <= fields
        assert task.text is None or inputs.needed_by(task)[task.text]
