"""Answers, tables and notes as HTML, in which everything that a person typed or a model wrote is escaped.

Pure functions from values to strings. Knows no components. What they return goes into the *value* of a `gr.HTML` with
its default template: gradio evaluates templates as JavaScript, so no text may ever be put into a template.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from inference.types import Detection
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
        return escape(self.texts.now(key, self.language, **fields))


def answer(text: str, *, translation: str | None, words: Words) -> str:
    """An answer in words, and beside it the Spanish one if there is one."""
    cards = [_card(text, heading=words("result.english" if translation is not None else "result.answer"), words=words)]
    if translation is not None:
        cards.append(_card(translation, heading=words("result.spanish"), words=words, language="es"))
    return f'<div class="answers">{"".join(cards)}</div>'


def writing(raw: str, *, words: Words) -> str:
    """The model's output while it is being written, with its loc and seg tokens set back."""
    marked = _CODE_TOKEN.sub(lambda match: f'<span class="codes">{match.group()}</span>', escape(raw))
    return (
        f'<div class="answers"><section class="answer-card"><header><h3>{words("result.answer")}</h3></header>'
        f'<p class="answer-text" data-testid="writing">{marked}<span class="caret" aria-hidden="true"></span></p>'
        "</section></div>"
    )


def summary(detections: Sequence[Detection], *, hidden: int, threshold: float, words: Words) -> str:
    """How many things were found, and how many of them the threshold hides."""
    shown = len(detections) - hidden
    if not detections:
        return f'<p class="summary">{words("result.none_found")}</p>'
    sentences = [words("result.found_one") if shown == 1 else words("result.found_many", count=shown)]
    if hidden:
        key = "result.hidden_one" if hidden == 1 else "result.hidden_many"
        sentences.append(words(key, count=hidden, threshold=f"{threshold:.0%}"))
    return f'<p class="summary">{" ".join(sentences)}</p>'


def legend(entries: Iterable[tuple[str, str, int]]) -> str:
    """The colours of the drawing.

    Args:
        entries: Label, CSS colour and number of things, for each label.
    """
    chips = "".join(
        f'<li><span class="swatch" style="background:{escape(colour)}"></span>{escape(label)}'
        f'<span class="count">{f"×{count}" if count > 1 else ""}</span></li>'
        for label, colour, count in entries
    )
    return f'<ul class="legend" data-testid="legend">{chips}</ul>' if chips else ""


def table(detections: Sequence[Detection], *, colours: Mapping[str, str], words: Words) -> str:
    """Every thing with its label, its Spanish label, its score and its box.

    Args:
        detections: In the order of the rows.
        colours: CSS colour of each label.
        words: The page's texts.
    """
    if not detections:
        return ""
    translated = any(detection.translated_label for detection in detections)
    keys = ["table.label", *(["table.translated"] if translated else []), "table.score", "table.box"]
    head = "".join(f'<th scope="col">{words(key)}</th>' for key in keys)
    rows = "".join(_row(detection, colour=colours[detection.label], translated=translated) for detection in detections)
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
    bar = ""
    if progress is not None:
        percent = round(100 * progress)
        bar = (
            f'<div class="progress" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" '
            f'aria-label="{escape(title)}"><span style="width:{percent}%"></span></div>'
        )
    unfold = ""
    if more is not None:
        heading, explanation, command = map(escape, more)
        unfold = f"<details><summary>{heading}</summary><p>{explanation}</p><pre><code>{command}</code></pre></details>"
    role = "alert" if tone == "error" else "note"
    notice = f"<p><strong>{escape(title)}</strong> {escape(text)}</p>"
    return f'<div class="banner {tone}" role="{role}">{notice}{bar}{unfold}</div>'


def _card(text: str, *, heading: str, words: Words, language: str = "") -> str:
    attribute = f' lang="{escape(language)}"' if language else ""
    body = (
        f'<p class="answer-text" data-testid="answer"{attribute}>{escape(text)}</p>'
        if text.strip()
        else f'<p class="answer-text nothing" data-testid="answer">{words("result.nothing")}</p>'
    )
    copy = (
        f'<button type="button" class="copy" data-copied="{words("result.copied")}">{words("result.copy")}</button>'
        if text.strip()
        else ""
    )
    return f'<section class="answer-card"><header><h3>{heading}</h3>{copy}</header>{body}</section>'


def _row(detection: Detection, *, colour: str, translated: bool) -> str:
    cells = [
        f'<td><span class="swatch" style="background:{escape(colour)}"></span>{escape(detection.label)}</td>',
        *([f'<td lang="es">{escape(detection.translated_label or "")}</td>'] if translated else []),
        f"<td>{_score(detection.score)}</td>",
        f'<td class="box">{_box(detection)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _score(score: float | None) -> str:
    if score is None:
        return "–"
    return f'<span class="score" style="--share:{score:.0%}">{score:.0%}</span>'


def _box(detection: Detection) -> str:
    x_min, y_min, x_max, y_max = (round(edge) for edge in detection.box)
    return f"{x_min}, {y_min} – {x_max}, {y_max}"
