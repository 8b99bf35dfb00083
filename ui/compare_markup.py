"""Two answers side by side as HTML: the words and things in which they differ, and what each of them took.

Pure functions from values to strings, which escape whatever a person typed or a model wrote. Knows no components. What
differs is marked by more than a colour: by an underline and weight in texts, by words in tables.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from inference import overlay
from inference.differences import Pair, Piece
from inference.types import Detection, Timing
from ui.markup import Words, box, nothing

STAGES = ("queue", "vision", "prefill", "decode", "total")
"""The parts of `Timing` that have a row."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text of an answer.

    Attributes:
        pieces: The text, with what differs from the other side.
        language: Of the text.
        heading: What it is, or empty if that is plain.
        task: What was asked.
    """

    pieces: Sequence[Piece]
    language: str = "en"
    heading: str = ""
    task: str = ""


def side(title: str, *, status: str = "", notes: str = "", passages: Iterable[Passage] = (), words: Words) -> str:
    """One of the two answers.

    Args:
        title: Whose it is. Not escaped yet.
        status: A line that `markup.status` made.
        notes: Notes that `markup.notes` made.
        passages: Its texts.
        words: The page's texts.
    """
    texts = "".join(_passage(passage, words) for passage in passages)
    return f'<section class="side"><header><h3>{escape(title)}</h3></header>{status}{notes}{texts}</section>'


def word_differences(count: int, *, words: Words) -> str:
    """In how many places two texts differ."""
    if not count:
        return _heading(words) + f'<p class="summary">{words("compare.words_same")}</p>'
    key = "compare.words_one" if count == 1 else "compare.words_many"
    return _heading(words) + f'<p class="summary">{words(key, count=count)}</p>'


def thing_differences(pairs: Sequence[Pair], *, words: Words) -> str:
    """Every thing that either side found, and how the two agree about it."""
    differing = sum(pair.kind != "same" for pair in pairs)
    if not pairs:
        summary = words("compare.things_none")
    elif not differing:
        summary = words("compare.things_same")
    else:
        summary = words("compare.things_differ", differing=differing, all=len(pairs))
    head = "".join(
        f'<th scope="col">{words(f"compare.{name}")}</th>' for name in ("label", "verdict", "overlap", "left", "right")
    )
    rows = "".join(_pair(pair, words) for pair in pairs)
    table = (
        f'<div class="table-frame"><table class="things" data-testid="pairs"><caption>{words("compare.differences")}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return f'{_heading(words)}<p class="summary">{summary}</p>{table if pairs else ""}'


def timings(left: Timing, right: Timing, *, titles: tuple[str, str], words: Words) -> str:
    """What each side took, stage by stage."""
    rows = "".join(
        f'<tr><th scope="row">{words(f"compare.{stage}")}</th>'
        f"{''.join(f'<td>{_took(timing, stage, words)}</td>' for timing in (left, right))}</tr>"
        for stage in STAGES
    )
    tokens = f'<tr><th scope="row">{words("compare.tokens")}</th><td>{left.tokens}</td><td>{right.tokens}</td></tr>'
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    note = "compare.kept" if left.cached or right.cached else "compare.at_once"
    return (
        f'<h3 class="compared">{words("compare.timings")}</h3><div class="table-frame"><table class="things timings" '
        f'data-testid="timings"><caption>{words("compare.timings")}</caption><thead><tr><td></td>{head}</tr></thead>'
        f'<tbody>{rows}{tokens}</tbody></table></div><p class="hint">{words(note)}</p>'
    )


def _heading(words: Words) -> str:
    return f'<h3 class="compared">{words("compare.differences")}</h3>'


def _passage(passage: Passage, words: Words) -> str:
    heading = f"<h4>{escape(passage.heading)}</h4>" if passage.heading else ""
    if not any(piece.text.strip() for piece in passage.pieces):
        return f'{heading}<p class="answer-text nothing" data-testid="side-answer">{words(nothing(passage.task))}</p>'
    text = "".join(map(_piece, passage.pieces))
    return f'{heading}<p class="answer-text" data-testid="side-answer" lang="{escape(passage.language)}">{text}</p>'


def _piece(piece: Piece) -> str:
    text = escape(piece.text)
    return f'<mark class="differs">{text}</mark>' if piece.differs and piece.text.strip() else text


def _pair(pair: Pair, words: Words) -> str:
    shown = "es" if words.language == "es" else "en"
    names = list(dict.fromkeys(overlay.name_of(thing, shown) for thing in (pair.left, pair.right) if thing is not None))
    overlap = f"{pair.overlap:.0%}" if pair.left is not None and pair.right is not None else "–"
    return (
        f'<tr class="{pair.kind}"><td>{escape(" / ".join(names))}</td>'
        f'<td><span class="verdict">{words(f"compare.{pair.kind}")}</span></td><td>{overlap}</td>'
        f"<td>{_place(pair.left)}</td><td>{_place(pair.right)}</td></tr>"
    )


def _place(thing: Detection | None) -> str:
    if thing is None:
        return "–"
    score = "" if thing.score is None else f"{thing.score:.0%} "
    return score + box(thing)


def _took(timing: Timing, stage: str, words: Words) -> str:
    return "–" if timing.cached else words("status.seconds", seconds=f"{getattr(timing, stage):.2f}")
