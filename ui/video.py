"""The tab in which a person asks the same about the frames of a clip: all its wiring, and the handlers behind it."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from inference import exports, subtitles
from inference.errors import Cancelled, InvalidInput
from inference.exports import Drawing, Exported, File
from inference.many import Job
from inference.sentences import Sentence
from inference.settings import Settings
from inference.types import Request
from inference.video import Clip, ClipLimits, Frame, open_clip
from ui import components, examples, fields, inputs, markup
from ui.components import Parcel, pressed
from ui.context import PRIVATE, Context
from ui.exports import wire as wire_downloads
from ui.faults import new_request_id, no_longer_kept, sentence, toast, told
from ui.look import LABELS
from ui.markup import RunRow, Words
from ui.runs import Runs, Update, given_up, labels_in
from ui.thread import KEPT_FOR, Kept
from ui.turns import Gone, Superseded
from ui.uploads import clip_file

CLIP_TASKS = ("describe", "read_text", "answer", "detect", "segment")
"""What can be asked about a clip: what makes sense as subtitles."""

SUBTITLES = {"vtt": subtitles.to_vtt, "srt": subtitles.to_srt}


@dataclass(frozen=True, slots=True)
class Transcript:
    """What came of a clip.

    Attributes:
        path: Of the uploaded file.
        count: How many frames were asked for.
        end: How long the clip lasts, in seconds.
        answers: By the times of their frames, in seconds; None where there is none.
    """

    path: str = ""
    count: int = 0
    end: float = 0.0
    answers: dict[float, Kept | None] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that there are subtitles in."""
        answered = [kept.bare for kept in self.answers.values() if kept]
        translated = any(result.translation for result in answered)
        return (*(["en"] if answered else []), *(["es"] if translated else []))

    def subtitles(self, form: str, language: str) -> str:
        """Subtitles in one of the forms of `SUBTITLES`."""
        texts = [subtitles.said(kept.bare, language) if kept else "" for kept in self.answers.values()]
        return SUBTITLES[form](subtitles.cues(list(self.answers), texts, end=self.end))


@dataclass(frozen=True)
class VideoResults:
    """The components that show a run."""

    player: gr.HTML
    status: gr.HTML
    notes: gr.HTML
    rows: gr.HTML
    downloads: gr.Column
    spanish: gr.Row
    transcript: gr.State

    def waiting(self) -> Update:
        """Everything of an earlier run out of sight."""
        return {
            self.status: "",
            self.notes: "",
            self.rows: "",
            self.downloads: gr.update(visible=False),
            self.transcript: Transcript(),
        }

    def listing(self, rows: Sequence[RunRow], words: Words, *, live: bool = True) -> Update:
        """How far a run is."""
        return {
            self.status: markup.run_progress(rows, words, live=live),
            self.rows: markup.timeline(rows, words),
        }

    def ended(self, rows: Sequence[RunRow], transcript: Transcript, words: Words) -> Update:
        """A run that is over, with its subtitles in the player."""
        tracks = [
            (language, LABELS[language], transcript.subtitles("vtt", language)) for language in transcript.languages
        ]
        # A person who reads Spanish sees the Spanish ones first.
        tracks.sort(key=lambda track: track[0] != labels_in(words))
        return self.listing(rows, words, live=False) | {
            self.player: markup.player(transcript.path, tracks=tracks, words=words),
            self.downloads: gr.update(visible=bool(transcript.languages)),
            self.spanish: gr.update(visible="es" in transcript.languages),
            self.transcript: transcript,
        }


class VideoTab:
    """The tab's components and handlers.

    Args:
        context: What it talks to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._runs = Runs(context, prefix="video-", choices=CLIP_TASKS)
        self._limits = clip_limits(context.settings)

    def build(self) -> Sequence[gr.Radio]:
        """Puts the tab on the page and wires it.

        Returns:
            Its choice of a model.
        """
        later, settings = self._context.texts.later, self._context.settings
        with gr.Row(elem_classes="bench", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="pane"):
                components.html(markup.intro(later("video.intro")))
                tried = examples.build_try(self._context.texts, prefix="video-")
                clip = clip_file(
                    label=later("video.clip"),
                    file_types=["video"],
                    height=150,
                    interactive=True,
                    elem_id="video-clip",
                    elem_classes="media",
                )
                most = self._limits.max_megabytes
                fields.build_refusal(self._context.texts, "video-clip", "video.only", megabytes=most)
                asked = self._runs.build()
                frames = gr.Slider(
                    1,
                    settings.max_video_frames,
                    value=settings.video_frames,
                    step=1,
                    label=later("video.frames"),
                    info=later("video.frames_info"),
                    buttons=[],
                    elem_id="video-frames",
                )
                self._runs.build_buttons()
            with gr.Column(scale=6, min_width=320, elem_classes="pane results run-results"):
                self._shown = self._build_results()
        shown = list(vars(self._shown).values())

        def fill(_: str | None, task: str) -> tuple[Update, str]:  # every model can say something about it
            return {clip: str(examples.CLIP)}, examples.CLIP_TEXTS.get(task, "")

        given = {"clip": clip, "frames": frames}
        self._runs.wire(self.respond, given=given, outputs=shown, tried=tried, fill=fill)
        gr.on([clip.upload, clip.clear], self.inspect, clip, shown, trigger_mode="always_last", **PRIVATE)
        return [asked.model]

    @property
    def translate(self) -> gr.Checkbox:
        """Whether answers come in Spanish too."""
        return self._runs.asked.translate

    def _build_results(self) -> VideoResults:
        later = self._context.texts.later
        status = components.html("", elem_id="video-status")
        notes = components.html("", elem_id="video-notes")
        player = components.html(markup.empty(later("video.empty")), elem_id="video-player")
        transcript, parcel = gr.State(Transcript(), time_to_live=KEPT_FOR), Parcel(visible=False)
        with gr.Column(visible=False, elem_id="video-downloads") as downloads:
            languages = {}
            self._subtitles: dict[tuple[str, str], gr.Button] = {}
            for language, name in LABELS.items():
                with gr.Row(elem_classes="downloads", visible=language == "en") as languages[language]:
                    components.html(f'<span class="heading">{later("video.subtitles")} · {name}</span>')
                    for form in SUBTITLES:
                        self._subtitles[form, language] = self._button(f"video.{form}", f"{form}-{language}")
            with gr.Row(elem_classes="downloads"):
                components.html(f'<span class="heading">{later("video.frames")}</span>')
                pack = self._button("video.pack", "pack")
        wire_downloads(self._subtitles.values(), self.subtitle, parcel=parcel, inputs=transcript)
        wire_downloads([pack], self.pack, parcel=parcel, inputs=transcript)
        rows = components.html("", elem_id="video-rows")
        return VideoResults(
            player=player,
            status=status,
            notes=notes,
            rows=rows,
            downloads=downloads,
            spanish=languages["es"],
            transcript=transcript,
        )

    def _button(self, key: str, name: str) -> gr.Button:
        """One that makes a file."""
        return gr.Button(self._context.texts.later(key), size="sm", min_width=60, elem_id=f"video-{name}")

    def inspect(self, visitor: gr.Request, clip: str | None) -> Update:
        """Shows a clip that was just added, or why it cannot be used.

        A run that is under way shows its own clip; one about another clip ends, and its last words are about this one.
        """
        if self._runs.going(visitor, now_about=clip):
            return gr.skip()
        return self._inspected(clip, visitor)

    def _inspected(self, clip: str | None, visitor: gr.Request) -> Update:
        shown, words = self._shown, self._context.words(visitor)
        if clip is None:
            return shown.waiting() | {shown.player: markup.empty(words("video.empty"))}
        try:
            with self._context.visitors.admit(visitor):
                opened = open_clip(Path(clip), self._limits)
        except Exception as error:
            return shown.waiting() | {shown.player: "", shown.notes: self._runs.refusal(error, words)}
        length = words.now("video.length", length=subtitles.clock(opened.seconds))
        return shown.waiting() | {
            shown.player: markup.player(clip, words=words),
            shown.status: markup.status([length]),
        }

    def respond(self, visitor: gr.Request, *, clip: str | None, frames: float, **asked: Any) -> Iterator[Update]:
        """Asks about every frame, and shows each answer as it is known.

        Args:
            visitor: Who asks.
            clip: Path of the uploaded file.
            frames: How many of its frames to ask about.
            asked: The values of `Asked`, by their names.
        """
        runs, shown, request_id = self._runs, self._shown, new_request_id()
        words = self._context.words(visitor)
        try:
            opened, transcript = self._open(clip, frames, asked)
        except Exception as error:
            yield {shown.notes: runs.refusal(error, words)}  # what came of an earlier run stays
            return
        rows = [RunRow(subtitles.clock(time), time=time) for time in transcript.answers]
        player = {shown.player: markup.player(transcript.path, words=words)}
        yield shown.waiting() | shown.listing(rows, words) | player | runs.buttons.update(busy=True)
        try:
            jobs = frame_jobs(opened, transcript.count, partial(inputs.request_about, **asked), request_id=request_id)
            for outcome in runs.answer(visitor, jobs, about=clip):
                if outcome is None:  # once more, for a browser that is slow, or was still told about the clip
                    yield shown.listing(rows, words) | runs.buttons.update(busy=True)
                    continue
                row = rows[outcome.number]
                rows[outcome.number], _ = runs.row(row, outcome, words, request_id=f"{request_id}-{outcome.number + 1}")
                if outcome.result is not None:
                    transcript.answers[row.time] = Kept.of(
                        outcome.result, picture=transcript.path, question="", device=""
                    )
                yield shown.listing(rows, words)
            yield shown.ended(rows, transcript, words) | runs.buttons.update(busy=False)
        except Superseded:
            yield gr.skip()
        except Gone as gone:
            yield self._inspected(gone.now_about, visitor) | runs.buttons.update(busy=False)
        except Cancelled:
            ended = shown.ended(given_up(rows), transcript, words) | runs.buttons.update(busy=False)
            yield ended | {shown.notes: runs.stopped(words)}
        except Exception as error:
            message = sentence(error, words, request_id=request_id)
            ended = shown.ended(given_up(rows), transcript, words) | runs.buttons.update(busy=False)
            yield ended | {shown.notes: markup.notes([message], tone="error")}
            raise toast(message) from None

    def pack(self, visitor: gr.Request, transcript: Transcript) -> File:
        """One zip of everything that came of the last run."""
        words = self._context.words(visitor)
        with told(words), self._context.visitors.admit(visitor):
            if not transcript.languages:
                raise no_longer_kept()
            return zip_of(transcript, self._limits, language=labels_in(words))

    def subtitle(self, event: gr.EventData, visitor: gr.Request, transcript: Transcript) -> File:
        """The subtitles of the last run, of the kind whose button was pressed."""
        with told(self._context.words(visitor)):
            form, language = pressed(event, self._subtitles)
            if language not in transcript.languages:
                raise no_longer_kept()
            return File(f"{_stem(transcript)}.{language}.{form}", transcript.subtitles(form, language).encode())

    def _open(self, clip: str | None, frames: float, asked: dict[str, Any]) -> tuple[Clip, Transcript]:
        if not clip:
            raise InvalidInput(Sentence("Add a clip first."))
        inputs.check(**asked)
        opened = open_clip(Path(clip), self._limits)
        count = min(max(1, int(frames)), self._context.settings.max_video_frames)
        times = [opened.seconds_at(stamp) for stamp in opened.spaced(count)]
        return opened, Transcript(clip, count, opened.seconds, dict.fromkeys(times))


def clip_limits(settings: Settings) -> ClipLimits:
    """What clips may be uploaded."""
    return ClipLimits(max_megabytes=settings.max_video_mb, max_seconds=settings.max_video_seconds)


def frame_jobs(clip: Clip, count: int, about: Callable[..., Request], *, request_id: str) -> Iterator[Job]:
    """A job for each frame, decoded when there is room to ask about it.

    Args:
        clip: An open one.
        count: How many frames to ask about.
        about: Makes the request about an open picture, whose name in the log it takes as `request_id`.
        request_id: The run's name in the log; each frame's has a number besides.
    """
    for number, frame in enumerate(clip.frames(count), start=1):
        yield partial(_request, frame, partial(about, request_id=f"{request_id}-{number}"))


def _request(frame: Frame, about: Callable[[Image.Image], Request]) -> Request:
    if frame.image is None:
        assert frame.error is not None
        raise frame.error
    return about(frame.image)


def zip_of(transcript: Transcript, limits: ClipLimits, *, language: str) -> File:
    """The frames with what was found in them, the subtitles, and every other format of the answers, in one zip.

    Args:
        transcript: What came of a clip.
        limits: What it was allowed to be.
        language: Of the labels in the drawings.

    Raises:
        InvalidVideo: The clip's file is gone.
    """
    archive = io.BytesIO()
    exports.pack(_files(transcript, limits, Drawing(language=language)), archive)
    return File(f"{_stem(transcript)}.zip", archive.getvalue())


def _files(transcript: Transcript, limits: ClipLimits, drawing: Drawing) -> Iterator[File]:
    """All files. The frames are decoded once more: nobody has to keep them for a zip that may never be asked for."""
    stem = _stem(transcript)
    blank = []
    for frame in open_clip(Path(transcript.path), limits).frames(transcript.count):
        kept = transcript.answers.get(frame.time)
        if kept is None or frame.image is None:
            continue
        name, result = f"{stem}-{round(1000 * frame.time):06}ms.png", kept.result()
        yield File(f"frames/{name}", exports.drawn_png(Exported(name, frame.image, result), drawing))
        blank.append(Exported(name, Image.new("1", (result.width, result.height)), result))
    for language in transcript.languages:
        for form in SUBTITLES:
            yield File(f"{stem}.{language}.{form}", transcript.subtitles(form, language).encode())
    yield from exports.files(blank, ["json", "coco", "csv"], drawing=drawing)


def _stem(transcript: Transcript) -> str:
    # The time of a frame is put behind it.
    return Path(exports.safe_name(Path(transcript.path).name, otherwise="clip", room=20)).stem
