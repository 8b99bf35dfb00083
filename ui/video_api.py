"""What the endpoint for clips does: the same asked about evenly spaced frames, told as JSON with subtitles.

Knows requests, visitors and how errors are worded. Knows no page.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from inference import subtitles, tasks
from inference.errors import Cancelled, InvalidInput
from inference.many import Outcome
from inference.sentences import Sentence
from inference.types import Request, Result
from inference.video import Clip, open_clip
from ui.context import Context
from ui.faults import sentence
from ui.video import SUBTITLES, clip_limits, frame_jobs
from ui.visitors import Visit


def asked_about_clip(
    context: Context, video: str | None, asked: Mapping[str, Any], *, frames: float, request_id: str
) -> dict[str, Any]:
    """Answers about the frames of a clip, as `ui.api.Endpoints.video` documents them.

    Args:
        context: What answers.
        video: Path of the uploaded file.
        asked: The fields of `Request` that all frames have in common.
        frames: How many of them to ask about.
        request_id: Its name in the log.

    Raises:
        UserError: Something is wrong with the clip or with what is asked; what is wrong with one frame stands with it.
    """
    if not video:
        raise InvalidInput(Sentence("Add a clip first."))
    most = context.settings.max_video_frames
    if not 1 <= (frames or 0) <= most:
        raise InvalidInput(Sentence("The number of frames can be from 1 to {most}.", most=most))
    tasks.check(Request(Image.new("RGB", (1, 1)), **asked))
    context.host.get(asked["model"])  # says it once if that one cannot answer
    with context.visitors.admit(None) as visit:
        clip = open_clip(Path(video), clip_limits(context.settings))
        times = [clip.seconds_at(stamp) for stamp in clip.spaced(int(frames))]
        outcomes = _outcomes(context, visit, clip, int(frames), asked, request_id)
    told = [_told(context, time, outcomes.get(number), request_id) for number, time in enumerate(times)]
    answered = [outcomes[number].result if number in outcomes else None for number in range(len(times))]
    return {
        "seconds": round(clip.seconds, 3),
        "frames": told,
        "subtitles": _subtitles(times, answered, end=clip.seconds, translated=bool(asked["translate"])),
    }


def _outcomes(
    context: Context, visit: Visit, clip: Clip, count: int, asked: Mapping[str, Any], request_id: str
) -> dict[int, Outcome]:
    """What came of each frame, by its number; ends early when the one who asked has gone."""
    outcomes: dict[int, Outcome] = {}
    jobs = frame_jobs(clip, count, partial(_request, asked), request_id=request_id)
    with closing(context.answers(visit, jobs)) as answers:
        for outcome in answers:
            if outcome is not None:
                outcomes[outcome.number] = replace(outcome, request=None)  # which holds a whole picture
    return outcomes


def _request(asked: Mapping[str, Any], image: Image.Image, *, request_id: str) -> Request:
    return Request(image, **asked, id=request_id)


def _told(context: Context, time: float, outcome: Outcome | None, request_id: str) -> dict[str, Any]:
    told: dict[str, Any] = {"time": round(time, 3), "result": None, "error": None}
    if outcome is not None and outcome.result is not None:
        return told | {"result": outcome.result.to_json()}
    error = (outcome.error if outcome else None) or Cancelled(Sentence("The request was stopped."))
    return told | {"error": sentence(error, context.english, request_id=request_id)}


def _subtitles(
    times: Sequence[float], results: Sequence[Result | None], *, end: float, translated: bool
) -> dict[str, dict[str, str]]:
    """By language and form; not in Spanish where something was said and none of it could be translated."""
    said = {
        language: [subtitles.said(result, language) if result else "" for result in results]
        for language in ("en", "es")
    }
    if not translated or (any(said["en"]) and not any(said["es"])):
        del said["es"]
    return {
        language: {form: write(subtitles.cues(times, texts, end=end)) for form, write in SUBTITLES.items()}
        for language, texts in said.items()
    }
