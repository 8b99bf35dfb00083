"""The tab in which a person asks the same about several pictures: all its wiring, and the handlers behind it."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from inference import exports
from inference.errors import Cancelled, InvalidInput
from inference.exports import Drawing, Exported, File
from inference.images import Limits, open_picture
from inference.sentences import Sentence
from ui import components, examples, fields, inputs, markup
from ui.components import Parcel
from ui.context import Context
from ui.exports import wire as wire_downloads
from ui.faults import new_request_id, no_longer_kept, sentence, toast, told
from ui.markup import RunRow, Words
from ui.runs import Runs, Update, given_up, labels_in
from ui.thread import KEPT_FOR, Kept
from ui.turns import Superseded
from ui.uploads import Pictures


@dataclass(frozen=True)
class BatchResults:
    """The components that show a run."""

    status: gr.HTML
    notes: gr.HTML
    rows: gr.HTML
    drawings: gr.Gallery
    pack: gr.Button
    kept: gr.State

    def waiting(self) -> Update:
        """Everything of an earlier run out of sight."""
        return {
            self.notes: "",
            self.drawings: gr.update(value=None, visible=False),
            self.pack: gr.update(visible=False),
            self.kept: (),
        }

    def listing(self, rows: Sequence[RunRow], words: Words, *, live: bool = True) -> Update:
        """How far a run is."""
        return {
            self.status: markup.run_progress(rows, words, live=live),
            self.rows: markup.batch(rows, words),
        }


class BatchTab:
    """The tab's components and handlers.

    Args:
        context: What it talks to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._runs = Runs(context, prefix="batch-")

    def build(self) -> Sequence[gr.Radio]:
        """Puts the tab on the page and wires it.

        Returns:
            Its choice of a model.
        """
        later = self._context.texts.later
        with gr.Row(elem_classes="bench", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="pane"):
                components.html(markup.intro(later("batch.intro")))
                tried = examples.build_try(self._context.texts, prefix="batch-")
                pictures = Pictures(
                    label=later("batch.pictures"),
                    file_types=["image"],
                    sources=["upload", "clipboard"],
                    columns=4,
                    height=300,
                    object_fit="cover",
                    allow_preview=False,
                    buttons=[],
                    interactive=True,
                    elem_id="batch-pictures",
                    elem_classes="media",
                )
                most = self._context.limits.max_megabytes
                fields.build_refusal(self._context.texts, "batch-pictures", "picture.only", megabytes=most)
                asked = self._runs.build()
                self._runs.build_buttons()
            with gr.Column(scale=6, min_width=320, elem_classes="pane results run-results"):
                self._shown = self._build_results()

        def fill(model: str | None, task: str) -> tuple[Update, str]:
            found = examples.examples_for(self._context.host.statuses(), model)
            paths = list(dict.fromkeys(str(example.picture) for example in found))
            shown = examples.example_of(task, found)
            return {pictures: paths[: self._context.settings.max_batch]}, shown.text

        shown = list(vars(self._shown).values())
        self._runs.wire(self.respond, given={"pictures": pictures}, outputs=shown, tried=tried, fill=fill)
        return [asked.model]

    @property
    def translate(self) -> gr.Checkbox:
        """Whether answers come in Spanish too."""
        return self._runs.asked.translate

    def _build_results(self) -> BatchResults:
        later = self._context.texts.later
        status = components.html("", elem_id="batch-status")
        notes = components.html("", elem_id="batch-notes")
        rows = components.html(markup.empty(later("batch.empty")), elem_id="batch-rows")
        drawings = gr.Gallery(
            label=later("batch.drawings"),
            visible=False,
            interactive=False,
            columns=2,
            object_fit="contain",
            buttons=["fullscreen", "download"],
            elem_id="batch-drawings",
            elem_classes="drawn",
        )
        pack = gr.Button(later("batch.pack"), visible=False, elem_id="batch-pack")
        parcel, kept = Parcel(visible=False), gr.State((), time_to_live=KEPT_FOR)
        wire_downloads([pack], self.pack, parcel=parcel, inputs=kept)
        return BatchResults(status=status, notes=notes, rows=rows, drawings=drawings, pack=pack, kept=kept)

    def respond(self, visitor: gr.Request, *, pictures: list[str], **asked: Any) -> Iterator[Update]:
        """Asks about every picture, and shows each answer as it is known.

        Args:
            visitor: Who asks.
            pictures: Paths of the uploaded files.
            asked: The values of `Asked`, by their names.
        """
        runs, shown, request_id = self._runs, self._shown, new_request_id()
        words = self._context.words(visitor)
        try:
            self._check(pictures, asked)
        except Exception as error:
            yield {shown.notes: runs.refusal(error, words)}  # what came of an earlier run stays
            return
        rows = [RunRow(Path(path).name) for path in pictures]
        made: dict[int, tuple[Kept, Image.Image]] = {}
        yield shown.waiting() | shown.listing(rows, words) | runs.buttons.update(busy=True)
        try:
            for outcome in runs.answer(visitor, self._jobs(pictures, asked, request_id)):
                if outcome is None:
                    yield runs.buttons.update(busy=True)  # once more, for a slow browser that lost it
                    continue
                place = outcome.number
                rows[place], drawn = runs.row(rows[place], outcome, words, request_id=f"{request_id}-{place + 1}")
                if outcome.result is not None and drawn is not None:
                    kept = Kept.of(outcome.result, picture=pictures[place], question="", device="")
                    made[place] = kept, drawn
                yield shown.listing(rows, words)
            yield self._ended(rows, made, words)
        except Superseded:
            yield gr.skip()
        except Cancelled:
            yield self._ended(given_up(rows), made, words) | {shown.notes: runs.stopped(words)}
        except Exception as error:
            message = sentence(error, words, request_id=request_id)
            note = markup.notes([message], tone="error")
            yield self._ended(given_up(rows), made, words) | {shown.notes: note}
            raise toast(message) from None

    def pack(self, visitor: gr.Request, kept: tuple[Kept, ...]) -> File:
        """One zip of everything that came of the last run."""
        words = self._context.words(visitor)
        with told(words), self._context.visitors.admit(visitor):
            if not kept:
                raise no_longer_kept()
            return zip_of(kept, limits=self._context.limits, language=labels_in(words))

    def _check(self, pictures: list[str], asked: dict[str, Any]) -> None:
        limit = self._context.settings.max_batch
        if not pictures:
            raise InvalidInput(Sentence("Add some pictures first."))
        if len(pictures) > limit:
            raise InvalidInput(
                Sentence("{count} pictures are too many; at most {limit} at once.", count=len(pictures), limit=limit)
            )
        inputs.check(**asked)

    def _jobs(self, pictures: list[str], asked: dict[str, Any], request_id: str) -> list[Any]:
        return [
            partial(
                inputs.to_request,
                image=path,
                limits=self._context.limits,
                request_id=f"{request_id}-{number}",
                **asked,
            )
            for number, path in enumerate(pictures, start=1)
        ]

    def _ended(self, rows: Sequence[RunRow], made: dict[int, tuple[Kept, Image.Image]], words: Words) -> Update:
        shown, ordered = self._shown, [made[place] for place in sorted(made)]
        drawn = [(preview, Path(kept.picture).name) for kept, preview in ordered if kept.bare.detections]
        return (
            shown.listing(rows, words, live=False)
            | self._runs.buttons.update(busy=False)
            | {
                shown.drawings: gr.update(value=drawn, visible=bool(drawn)),
                shown.pack: gr.update(visible=bool(ordered)),
                shown.kept: tuple(kept for kept, _ in ordered),
            }
        )


def zip_of(kept: Sequence[Kept], *, limits: Limits, language: str) -> File:
    """Every format of several answers, in one zip.

    Args:
        kept: The answers.
        limits: What their pictures were allowed to be.
        language: Of the labels in the drawings.

    Raises:
        InvalidPicture: The file of a picture is gone.
    """
    archive = io.BytesIO()
    exports.pack(_files(kept, limits=limits, drawing=Drawing(language=language)), archive)
    return File("pictures.zip", archive.getvalue())


def _files(kept: Sequence[Kept], *, limits: Limits, drawing: Drawing) -> Iterator[File]:
    """All files, with only one picture open at a time: but for the drawings, no format looks at more than its size."""
    names = exports.unique_names(Path(each.picture).name for each in kept)
    results = [each.result() for each in kept]
    for each, name, result in zip(kept, names, results, strict=True):
        yield from exports.files(
            [Exported(name, open_picture(Path(each.picture), limits), result)], ["drawn"], drawing=drawing
        )
    blank = [
        Exported(name, Image.new("1", (result.width, result.height)), result)
        for name, result in zip(names, results, strict=True)
    ]
    yield from exports.files(blank, [name for name in exports.FORMATS if name != "drawn"], drawing=drawing)
