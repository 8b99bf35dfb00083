"""Answers, tables and notes as HTML, in which everything that a person typed or a model wrote is escaped.

Pure functions from values to strings. Knows no components. What they return goes into the *value* of a `gr.HTML` with
its default template: gradio evaluates templates as JavaScript, so no text may ever be put into a template.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal
from urllib.parse import quote

from inference import overlay, subtitles
from inference.types import Detection, Result
from ui.naming import Naming
from ui.texts import Texts

Tone = Literal["info", "warning", "error"]

_CODE_TOKEN = re.compile(r"(&lt;(?:loc\d{4}|seg\d{3})&gt;)+")


@dataclass(frozen=True, slots=True)
class Words:
    """The page's texts in the language of one visitor."""

    texts: Texts
    language: str

    def __call__(self, key: str, **fields: object) -> str:
        """The text, ready to stand in HTML."""
        return escape(self.now(key, **fields))

    def now(self, key: str, **fields: object) -> str:
        """The text, not escaped; see `Texts.now`."""
        return self.texts.now(key, self.language, **fields)

    def tell(self, sentence: str) -> str:
        """A sentence of the layers below; see `Texts.tell`."""
        return self.texts.tell(sentence, self.language)


def empty(sentence: str) -> str:
    """What stands where an answer will be.

    Args:
        sentence: A text of the page, or gradio's mark for one; it is not escaped.
    """
    return f'<p class="empty">{sentence}</p>'


def nothing(task: str) -> str:
    """Key of what is said where the model wrote nothing."""
    return "result.no_text" if task == "read_text" else "result.nothing"


def answer(
    text: str,
    *,
    translation: str | None,
    words: Words,
    language: str = "",
    naming: Naming | None = None,
    task: str = "",
) -> str:
    """An answer in words, and beside it the Spanish one if there is one.

    Args:
        text: What the model wrote.
        translation: The same in Spanish, or None.
        words: The page's texts.
        language: Code of the language that the model wrote in, or empty if nobody knows.
        naming: Makes words of the text buttons that look for what they name; None for a text in which none does.
        task: What was asked.
    """
    pieces = [(text, None)] if naming is None else list(naming.pieces(text))
    body = _words(pieces, words)
    cards = []
    if not (language == "es" and translation == text):
        named_by = "result.english" if language == "en" and translation is not None else _heading(task)
        cards.append(_card(text, body=body, heading=words(named_by), words=words, language=language, task=task))
    if translation is not None:
        cards.append(
            _card(
                translation,
                body=escape(translation),
                heading=words("result.spanish"),
                words=words,
                language="es",
                task=task,
            )
        )
    named = any(name for _, name in pieces)
    hint = f'<p class="hint">{words("word.hint")}</p>' if named else ""
    return f'<div class="answers">{"".join(cards)}</div>{hint}'


def writing(raw: str, *, words: Words, task: str = "") -> str:
    """The model's output while it is being written, with its loc and seg tokens set back; `task` as of `answer`."""
    marked = _CODE_TOKEN.sub(lambda match: f'<span class="codes">{match.group()}</span>', escape(raw))
    return (
        f'<div class="answers"><section class="answer-card"><header><h3>{words(_heading(task))}</h3></header>'
        f'<p class="answer-text" data-testid="writing" dir="auto">{marked}'
        '<span class="caret" aria-hidden="true"></span></p></section></div>'
    )


def summary(detections: Sequence[Detection], *, hidden: int, threshold: float, words: Words) -> str:
    """How many things were found, and how many of them the threshold hides."""
    shown = len(detections) - hidden
    if not detections:
        return f'<p class="summary">{words("result.none_found")}</p>'
    sentences = []
    if shown:
        sentences.append(words("result.found_one") if shown == 1 else words("result.found_many", count=shown))
    if hidden:
        key = ("result.hidden" if shown else "result.all_hidden") + ("_one" if hidden == 1 else "_many")
        sentences.append(words(key, count=hidden, threshold=f"{threshold:.0%}"))
    return f'<p class="summary">{" ".join(sentences)}</p>'


def legend(entries: Iterable[tuple[str, overlay.Colour, int]]) -> str:
    """The colours of the drawing.

    Args:
        entries: Label, colour and number of things, as `inference.overlay.legend` gives them.
    """
    chips = "".join(
        f'<li><span class="swatch" style="background:{_css(colour)}"></span>{escape(label)}'
        f'<span class="count">{f"×{count}" if count > 1 else ""}</span></li>'
        for label, colour, count in entries
    )
    return f'<ul class="legend" data-testid="legend">{chips}</ul>' if chips else ""


def table(
    detections: Sequence[Detection],
    *,
    colours: Mapping[str, overlay.Colour],
    words: Words,
    size: tuple[int, int] | None = None,
) -> str:
    """Every thing with its label, its Spanish label, its score and its box.

    Args:
        detections: In the order of the rows.
        colours: The colour of each label.
        words: The page's texts.
        size: Width and height of the picture, if its things can be marked from the table and asked about.
    """
    if not detections:
        return ""
    translated = any(detection.translated_label for detection in detections)
    keys = ["table.label", *(["table.translated"] if translated else []), "table.score", "table.box"]
    head = "".join(f'<th scope="col">{words(key)}</th>' for key in keys)
    rows = "".join(
        _row(detection, colour=colours[detection.label], translated=translated, words=words, size=size)
        for detection in detections
    )
    return (
        f'<div class="table-frame"><table class="things" data-testid="things"><caption>{words("table.caption")}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def notes(sentences: Iterable[str], *, tone: Tone = "info") -> str:
    """Quiet notes, one a line.

    Args:
        sentences: Not escaped yet.
        tone: "error" is also announced by screen readers.
    """
    role = ' role="alert"' if tone == "error" else ""
    return "".join(f'<p class="note {tone}"{role}>{escape(sentence)}</p>' for sentence in sentences)


def status(parts: Iterable[str], *, live: bool = False) -> str:
    """One quiet line.

    Args:
        parts: Not escaped yet; shown with dots between them.
        live: Whether something is going on.
    """
    line = '<span class="dot" aria-hidden="true">·</span>'.join(
        f"<span>{escape(part)}</span>" for part in parts if part
    )
    pulse = '<span class="pulse" aria-hidden="true"></span>' if live else ""
    return f'<p class="status{" live" if live else ""}" role="status">{pulse}{line}</p>' if line else ""


def banner(
    title: str,
    *,
    text: str = "",
    tone: Tone = "info",
    progress: float | None = None,
    more: tuple[str, str, str] | None = None,
) -> str:
    """A notice above everything else.

    Args:
        title: What it is about. Not escaped yet, as all others.
        text: A sentence or two.
        tone: Its look.
        progress: 0 to 1, shown as a bar, or None.
        more: A heading, a text and a command that unfold on a click, or None.
    """
    bar = "" if progress is None else _bar(progress, label=title)
    unfold = ""
    if more is not None:
        heading, explanation, command = map(escape, more)
        unfold = f"<details><summary>{heading}</summary><p>{explanation}</p><pre><code>{command}</code></pre></details>"
    role = "alert" if tone == "error" else "note"
    notice = f"<p><strong>{escape(title)}</strong> {escape(text)}</p>"
    return f'<div class="banner {tone}" role="{role}">{notice}{bar}{unfold}</div>'


def thread(asked: Sequence[tuple[str, str]], *, chosen: int | None, words: Words) -> str:
    """What was asked about one picture; a click on an entry triggers `select`, one on the button `clear`.

    Args:
        asked: Question and answer, each in a line, the oldest first.
        chosen: Which of them is shown below, or None.
        words: The page's texts.
    """
    entries = "".join(
        f'<li><button type="button" class="entry" data-event="select" data-entry="{place}"'
        f'{" aria-current=true" if place == chosen else ""}><span class="asked" dir="auto">{escape(question)}</span> '
        f'<span class="said" dir="auto">{escape(said)}</span></button></li>'
        for place, (question, said) in enumerate(asked)
    )
    return (
        f'<section class="thread" aria-label="{words("thread.label")}"><header><h3>{words("thread.label")}</h3>'
        f'<button type="button" class="quiet" data-event="clear">{words("thread.clear")}</button></header>'
        f'<ol tabindex="-1">{entries}</ol><p class="hint">{words("thread.note")}</p></section>'
    )


def _words(pieces: Iterable[tuple[str, str | None]], words: Words) -> str:
    """A text whose words that name things are buttons: one stop for the Tab key, arrows go from one to the next.

    They are not `<button>`s, in which the text could not be selected.
    """
    made, stop = [], 0
    for text, name in pieces:
        if name is None:
            made.append(escape(text))
            continue
        made.append(
            f'<span class="word" role="button" tabindex="{stop}" {_asks(name, "detect")} '
            f'title="{words("word.detect", word=name)}">{escape(text)}</span>'
        )
        stop = -1
    return "".join(made)


def _heading(task: str) -> str:
    """Key of what the words are called that a task brings, where they are not named by their language."""
    return "result.question" if task == "ask" else "result.answer"


def _asks(name: str, task: str) -> str:
    """The attributes of what asks for a thing when it is clicked."""
    return f'data-event="click" data-task="{task}" data-word="{escape(name)}"'


def _card(text: str, *, body: str, heading: str, words: Words, language: str, task: str) -> str:
    attribute = f' lang="{escape(language)}"' if language else ""
    shown = (
        f'<p class="answer-text" data-testid="answer" dir="auto"{attribute}>{body}</p>'
        if text.strip()
        else f'<p class="answer-text nothing" data-testid="answer">{words(nothing(task))}</p>'
    )
    copy = (
        f'<button type="button" class="copy" data-copied="{words("result.copied")}">{words("result.copy")}</button>'
        if text.strip()
        else ""
    )
    return f'<section class="answer-card"><header><h3>{heading}</h3>{copy}</header>{shown}</section>'


def _row(
    detection: Detection,
    *,
    colour: overlay.Colour,
    translated: bool,
    words: Words,
    size: tuple[int, int] | None = None,
) -> str:
    swatch = f'<span class="swatch" style="background:{_css(colour)}"></span>'
    cells = [
        f"<td>{swatch}{_label(detection, words) if size and detection.label.strip() else escape(detection.label)}</td>",
        *([f'<td lang="es">{escape(detection.translated_label or "")}</td>'] if translated else []),
        f"<td>{_score(detection.score)}</td>",
        f"<td>{box(detection)}</td>",
    ]
    place = f' data-place="{_place(detection, size)}" style="--colour:{_css(colour)}"' if size else ""
    return f"<tr{place}>{''.join(cells)}</tr>"


def _bar(share: float, *, label: str) -> str:
    """How far something is, from 0 to 1."""
    percent = round(100 * share)
    return (
        f'<div class="progress" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-label="{escape(label)}"><span style="width:{percent}%"></span></div>'
    )


def _css(colour: overlay.Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _label(detection: Detection, words: Words) -> str:
    """A thing's label, which asks for what is not known of it yet: its outline, or else its box."""
    task = "segment" if detection.mask is None else "detect"
    title = words(f"word.{task}", word=detection.label)
    asks = _asks(detection.label, task)
    return f'<button type="button" class="word" {asks} title="{title}">{escape(detection.label)}</button>'


def _place(detection: Detection, size: tuple[int, int]) -> str:
    """Left, top, width and height of a box as parts of the picture, for the mark that the browser puts there."""
    x_min, y_min, x_max, y_max = detection.box
    width, height = size
    return " ".join(
        f"{part:.5f}" for part in (x_min / width, y_min / height, (x_max - x_min) / width, (y_max - y_min) / height)
    )


def _score(score: float | None) -> str:
    if score is None:
        return "–"
    return f'<span class="score" style="--share:{score:.0%}">{score:.0%}</span>'


def box(detection: Detection) -> str:
    """The corners of a box in whole pixels; a line may end between the two, not in one."""
    x_min, y_min, x_max, y_max = (round(edge) for edge in detection.box)
    return f'<span class="box"><span>{x_min}, {y_min} –</span> <span>{x_max}, {y_max}</span></span>'


def intro(sentence: str) -> str:
    """What a tab is for.

    Args:
        sentence: A text of the page, or gradio's mark for one; it is not escaped.
    """
    return f'<p class="intro">{sentence}</p>'


@dataclass(frozen=True, slots=True)
class RunRow:
    """What came of one of many pictures, as the page lists it.

    Attributes:
        name: What the picture is called.
        state: How far it is.
        thumbnail: data: address of the picture with what was found in it, or empty.
        result: The answer, without masks.
        problems: What was wrong with it, in the reader's language.
        error: Why there is no answer.
        time: When it is shown, in seconds, if it is the frame of a clip.
    """

    name: str
    state: Literal["waiting", "answered", "failed", "stopped"] = "waiting"
    thumbnail: str = ""
    result: Result | None = None
    problems: tuple[str, ...] = ()
    error: str = ""
    time: float = 0.0


def run_progress(rows: Sequence[RunRow], words: Words, *, live: bool) -> str:
    """A bar and a line that say how many of some pictures are answered.

    Args:
        rows: One for each.
        words: The page's texts.
        live: Whether more will be.
    """
    answered, failed = (sum(row.state == state for row in rows) for state in ("answered", "failed"))
    line = words.now("run.answered", count=answered, all=len(rows))
    lines = [line, words.now("run.failed", count=failed) if failed else ""]
    share = (answered + failed) / len(rows) if rows else 0.0
    bar = _bar(share, label=words.now("run.progress"))
    return f'<div class="run-progress">{bar}{status(lines, live=live)}</div>'


def batch(rows: Sequence[RunRow], words: Words) -> str:
    """A table with a row for each picture."""
    keys = ("run.picture", "run.said", "run.things", "run.seconds")
    head = "".join(f'<th scope="col">{words(key)}</th>' for key in keys)
    body = "".join(
        f'<tr class="{row.state}"><th scope="row" class="name">{_thumbnail(row)}<span>{escape(row.name)}</span></th>'
        f"{_batch_cells(row, words)}</tr>"
        for row in rows
    )
    return (
        f'<table class="batch" data-testid="batch"><caption>{words("batch.caption")}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def timeline(rows: Sequence[RunRow], words: Words) -> str:
    """The frames of a clip, each with its time, which shows that place in the player, and what was said about it."""
    entries = "".join(
        f'<li class="{row.state}">{_thumbnail(row)}<div><button type="button" class="seek" data-at="{row.time:.3f}" '
        f'title="{words("video.seek")}">{escape(row.name)}</button>{_said_of(row, words)}</div></li>'
        for row in rows
    )
    return f'<ol class="timeline" data-testid="timeline" aria-label="{words("video.timeline")}">{entries}</ol>'


def player(path: str, *, tracks: Iterable[tuple[str, str, str]] = (), words: Words) -> str:
    """A clip that plays in the browser.

    Args:
        path: Of the uploaded file, which gradio serves.
        tracks: Language, name and WebVTT of each of its subtitles, the first of them shown.
        words: The page's texts.
    """
    subtitles = "".join(
        f'<track kind="captions" srclang="{escape(language)}" label="{escape(name)}" '
        f'src="data:text/vtt;base64,{b64encode(text.encode()).decode("ascii")}"{"" if number else " default"}>'
        for number, (language, name, text) in enumerate(tracks)
    )
    return (
        f'<video class="clip" controls muted playsinline preload="metadata" aria-label="{words("video.clip")}" '
        f'src="gradio_api/file={escape(quote(path))}">{subtitles}</video>'
        f'<p class="hint unplayable">{words("video.unplayable")}</p>'
    )


def _thumbnail(row: RunRow) -> str:
    if not row.thumbnail:
        return '<span class="thumbnail" aria-hidden="true"></span>'
    return f'<img class="thumbnail" src="{escape(row.thumbnail)}" alt="">'  # its name stands beside it


def _batch_cells(row: RunRow, words: Words) -> str:
    said = _said_of(row, words)
    if row.result is None:
        return f'<td class="said" colspan="3">{said}</td>'
    count = len(row.result.detections)
    seconds = f"{row.result.timing.total:.1f}"
    return (
        f'<td class="said">{said}</td><td class="number{"" if count else " none"}" data-label="{words("run.things")}">'
        f'{count or "–"}</td><td class="number" data-label="{words("run.seconds")}">{seconds}</td>'
    )


def _said_of(row: RunRow, words: Words) -> str:
    """The answer about a picture in words or labels, or why there is none."""
    if row.state == "failed":
        return notes([row.error], tone="error")
    if row.result is None:
        return f'<p class="quiet">{words(f"run.{row.state}")}</p>'
    result, problems = row.result, notes(row.problems)
    if result.detections:
        shown = "es" if words.language == "es" else "en"
        said = legend(overlay.legend(result.detections, shown))
    elif result.text.strip():
        said = f'<p dir="auto">{escape(result.text)}</p>'
    else:
        said = "" if problems else f'<p class="quiet">{words(nothing(result.task))}</p>'
    if result.translation is not None and not (result.detections and shown == "es"):
        said += f'<p lang="es">{escape(subtitles.said(result, "es"))}</p>'
    return said + problems
