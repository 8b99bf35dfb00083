"""What the endpoint for clips returns: subtitles in Spanish are Spanish."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from inference.images import Limits
from inference.pipeline import Progress
from inference.settings import Settings
from inference.types import Request, Result
from tests.support.clips import make_clip
from tests.support.serving import StandInHost, StandInPipeline
from ui.context import Context
from ui.texts import Texts
from ui.video_api import asked_about_clip


@dataclass
class SometimesTranslated(StandInPipeline):
    """Translates its first answers only, as when the translator runs out of memory."""

    translations: list[bool] = field(default_factory=list)

    def stream(self, request: Request, **options: Any) -> Iterator[Progress | Result]:
        for item in super().stream(request, **options):
            if isinstance(item, Result) and not self.translations.pop(0):
                item = replace(item, translation=None)
            yield item


class Host(StandInHost):
    def get(self, _: str | None) -> None: ...


def subtitles(folder: Path, pipeline: StandInPipeline, *, translate: bool = True) -> dict[str, Any]:
    # One frame at a time, so that they are answered in their order.
    context = Context(pipeline, Host(), Settings(max_per_visitor=1), Limits(), Texts.read())  # type: ignore[arg-type]
    asked = {"task": "describe", "text": "", "translate": translate, "model": None}
    told = asked_about_clip(context, str(make_clip(folder / "clip.mp4")), asked, frames=2, request_id="x")
    found: dict[str, Any] = told["subtitles"]
    return found


@pytest.mark.parametrize(
    ("translations", "spanish"),
    [
        pytest.param([True, True], ["00:00:00,000 --> 00:00:02,000"], id="every answer"),
        pytest.param([True, False], ["00:00:00,000 --> 00:00:01,000"], id="one of two answers"),
    ],
)
def test_spanish_subtitles_hold_what_was_translated(
    tmp_path: Path, translations: list[bool], spanish: list[str]
) -> None:
    made = subtitles(tmp_path, SometimesTranslated(translations=translations))
    assert [line for line in made["es"]["srt"].splitlines() if "-->" in line] == spanish
    assert "dos barcos rojos" in made["es"]["srt"]
    assert "two red boats" not in made["es"]["srt"]
    assert "00:00:00,000 --> 00:00:02,000\ntwo red boats" in made["en"]["srt"]


def test_where_nothing_was_translated_there_are_no_spanish_subtitles(tmp_path: Path) -> None:
    assert list(subtitles(tmp_path, SometimesTranslated(translations=[False, False]))) == ["en"]


def test_where_nothing_was_said_the_spanish_subtitles_are_empty_too(tmp_path: Path) -> None:
    made = subtitles(tmp_path, SometimesTranslated(words="", translations=[False, False]))
    assert made["es"] == made["en"] == {"vtt": "WEBVTT\n", "srt": ""}


def test_without_translation_there_are_english_subtitles_only(tmp_path: Path) -> None:
    assert list(subtitles(tmp_path, StandInPipeline(), translate=False)) == ["en"]
