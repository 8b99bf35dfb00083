"""What was said about the frames of a clip, as subtitles in two formats that every player reads: WebVTT and SubRip.

Knows times and texts. Knows no video, no model and no page.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inference import overlay
from inference.lines import on_one_line
from inference.types import Result

_LINE = 42  # characters that fit side by side on a television, as broadcasters count them
# SubRip has no way to escape: what a player would take for markup becomes what looks like it.
_HARMLESS = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})


@dataclass(frozen=True, slots=True)
class Cue:
    """A text and when it is shown.

    Attributes:
        start, end: Seconds from the beginning of the clip.
        text: Plain, on one line.
    """

    start: float
    end: float
    text: str


def said(result: Result, language: str) -> str:
    """An answer on one line: its words, or the things that were found; empty if there are none.

    Args:
        result: About one frame.
        language: "es" for the translation; where there is none, nothing is said in Spanish.
    """
    text = result.text
    if language == "es":
        if result.translation is None:
            return ""
        text = result.translation.text
    if result.detections:
        entries = overlay.legend(result.detections, language)
        text = ", ".join(f"{label} ×{count}" if count > 1 else label for label, _, count in entries)
    return on_one_line(text)


def cues(times: Sequence[float], texts: Sequence[str], *, end: float) -> tuple[Cue, ...]:
    """Each text from its time to the next one's; equal texts in a row are one, and an empty one is a pause.

    Args:
        times: In seconds, ascending.
        texts: One for each time.
        end: When the last text goes.
    """
    made: list[Cue] = []
    for text, start, until in zip(texts, times, [*times[1:], end], strict=True):
        text = on_one_line(text)
        start, until = round(start, 3), round(until, 3)
        if not text or until <= start:
            continue
        if made and made[-1].text == text and made[-1].end == start:
            made[-1] = Cue(made[-1].start, until, text)
        else:
            made.append(Cue(start, until, text))
    return tuple(made)


def to_vtt(shown: Iterable[Cue]) -> str:
    """The cues as a WebVTT file."""
    blocks = ["WEBVTT"]
    for cue in shown:
        text = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_lines(text)}")
    return "\n\n".join(blocks) + "\n"


def to_srt(shown: Iterable[Cue]) -> str:
    """The cues as a SubRip file."""
    blocks = [
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_lines(cue.text.translate(_HARMLESS))}\n"
        for number, cue in enumerate(shown, start=1)
    ]
    return "\n".join(blocks)


def clock(seconds: float) -> str:
    """A time as people read it, to a tenth of a second: 0:04.5."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _clock(seconds: float, mark: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    whole, rest = divmod(thousandths, 1000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{whole:02}{mark}{rest:03}"


def _lines(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _LINE, break_long_words=False, break_on_hyphens=False))
