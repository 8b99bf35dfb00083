"""Subtitles that any player reads, whatever a model wrote."""

import re

import pytest

from inference.subtitles import Cue, clock, cues, said, to_srt, to_vtt
from inference.types import Detection, Result, Translation

TIME = r"(\d\d):([0-5]\d):([0-5]\d)[.,](\d{3})"


def read(subtitles: str, *, mark: str) -> list[tuple[float, float, str]]:
    """Start, end and text of each cue; fails for what a strict reader would not take."""
    found = []
    for block in subtitles.strip("\n").split("\n\n"):
        timing, *lines = block.split("\n")
        match = re.fullmatch(f"{TIME} --> {TIME}".replace("[.,]", re.escape(mark)), timing)
        assert match, timing
        assert lines
        assert all(line.strip() == line != "" and "-->" not in line for line in lines)
        hours, minutes, seconds, rest, *end = map(int, match.groups())
        start = hours * 3600 + minutes * 60 + seconds + rest / 1000
        found.append((start, end[0] * 3600 + end[1] * 60 + end[2] + end[3] / 1000, "\n".join(lines)))
    return found


def read_vtt(subtitles: str) -> list[tuple[float, float, str]]:
    head, blank, rest = subtitles.partition("\n\n")
    assert head == "WEBVTT"
    assert blank
    assert subtitles.endswith("\n")
    return read(rest, mark=".")


def read_srt(subtitles: str) -> list[tuple[float, float, str]]:
    blocks = subtitles.strip("\n").split("\n\n")
    assert [block.split("\n")[0] for block in blocks] == [str(number) for number in range(1, len(blocks) + 1)]
    return read("\n\n".join(block.partition("\n")[2] for block in blocks), mark=",")


@pytest.mark.parametrize(("write", "parse"), [(to_vtt, read_vtt), (to_srt, read_srt)], ids=["WebVTT", "SRT"])
def test_each_text_lasts_until_the_next_and_equal_ones_are_one(write: object, parse: object) -> None:
    shown = cues([0, 1.5, 3, 3601.25], ["a boat", "a boat", "", "two boats"], end=3602)
    assert parse(write(shown)) == [(0.0, 3.0, "a boat"), (3601.25, 3602.0, "two boats")]  # type: ignore[operator]


@pytest.mark.parametrize(("write", "parse"), [(to_vtt, read_vtt), (to_srt, read_srt)], ids=["WebVTT", "SRT"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("one\n\ntwo", id="a blank line"),
        pytest.param("00:00:01.000 --> 00:00:02.000", id="a time"),
        pytest.param("1\n00:00:01,000 --> 00:00:02,000\nx", id="a whole cue"),
        pytest.param("<script>&amp;</i>", id="markup"),
        pytest.param("{\\an8}up", id="an override"),
        pytest.param("a\u2028b\x00c\u200b", id="characters that draw nothing"),
        pytest.param("word " * 60, id="a long description"),
        pytest.param("x" * 300, id="one long word"),
    ],
)
def test_no_text_breaks_the_file(write: object, parse: object, text: str) -> None:
    shown = cues([0, 1], [text, "end"], end=2)
    found = parse(write(shown))  # type: ignore[operator]
    assert [(start, end) for start, end, _ in found] == [(0, 1), (1, 2)]
    assert "<" not in found[0][2]


def test_webvtt_shows_what_the_model_wrote() -> None:
    assert "a &lt;b&gt; &amp; c" in to_vtt([Cue(0, 1, "a <b> & c")])


def test_nothing_said_is_a_file_without_cues() -> None:
    assert to_vtt(cues([0, 1], ["", " "], end=2)) == "WEBVTT\n"
    assert to_srt(cues([0, 1], ["", " "], end=2)) == ""


BARE = Result(task="describe", model="m", prompt="p", raw="", text="a  boat", width=10, height=10)
SPANISH = Translation("es", "barco ; taza ; barco")
THINGS = (
    Detection("boat", (0, 0, 1, 1), translated_label="barco"),
    Detection("cup", (0, 0, 1, 1), translated_label="taza"),
    Detection("boat", (0, 0, 1, 1), translated_label="barco"),
)


@pytest.mark.parametrize(
    ("fields", "language", "line"),
    [
        pytest.param({}, "en", "a boat", id="words"),
        pytest.param({"translation": Translation("es", "un barco")}, "es", "un barco", id="Spanish words"),
        pytest.param({"translation": Translation("es", "un barco")}, "en", "a boat", id="English words of both"),
        pytest.param({}, "es", "", id="no Spanish"),
        pytest.param({"detections": THINGS}, "en", "boat ×2, cup", id="things"),
        pytest.param({"detections": THINGS, "translation": SPANISH}, "es", "barco ×2, taza", id="Spanish things"),
        pytest.param({"detections": (Detection("cup", (0, 0, 1, 1)),)}, "es", "", id="no Spanish things"),
        pytest.param({"text": ""}, "en", "", id="nothing"),
    ],
)
def test_an_answer_on_one_line(fields: dict[str, object], language: str, line: str) -> None:
    from dataclasses import replace

    assert said(replace(BARE, **fields), language) == line  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00.0"), (4.46, "0:04.5"), (59.96, "1:00.0"), (61.5, "1:01.5")])
def test_a_time_for_people(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
