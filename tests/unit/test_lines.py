"""Texts on one line: what breaks it or turns it around is gone, and every letter is there."""

import pytest

from inference.lines import on_one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(" two\r\nlines\tand\u2028more\u2029\x85 \u3000 ", "two lines and more", id="line breaks"),
        pytest.param("red\x1b[31m\x07\x00\x9b2J", "red [31m 2J", id="what a terminal obeys"),
        pytest.param("a\u202egnp.exe\u202c \u2066b\u2069\u200f", "agnp.exe b", id="turned around"),
        pytest.param("soft\u00adware \ufeffze\u200bro\u2060", "software zero", id="what draws nothing"),
        pytest.param("\u200b\ufeff \u200e", "", id="nothing else"),
        pytest.param("bad \ud83d news", "bad news", id="half of a character"),
        pytest.param("می\u200cخواهم", "می\u200cخواهم", id="Persian, whose letters are kept apart"),
        pytest.param("क्\u200dष", "क्\u200dष", id="Hindi, whose letters are joined"),
        pytest.param("👨\u200d👩\u200d👧 ❤\ufe0f", "👨\u200d👩\u200d👧 ❤\ufe0f", id="emoji that are joined"),
        pytest.param("\U0001fae9", "\U0001fae9", id="an emoji that Python does not know yet"),
        pytest.param("cafe\u0301 ñ 猫", "cafe\u0301 ñ 猫", id="letters"),
    ],
)
def test_every_letter_stays_and_the_line_does(text: str, line: str) -> None:
    assert on_one_line(text) == line
