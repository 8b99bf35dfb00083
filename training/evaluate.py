"""How good a checkpoint is: asks it about held-out scenes as a user would and compares the answers with the truth.

Knows scenes, the grammar's right answers and the app's own pipeline, through which every answer comes: its prompts,
engine, parser, mask decoder and translators, decoding freely. Knows nothing of how anything was trained.

    python -m training.evaluate --scenes 200 --seed 1

prints a table for people and, as its last line, one JSON object.
"""

import argparse
import functools
import json
import logging
import random
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import torch
from tqdm import tqdm

from inference import checkpoints
from inference.errors import UserError
from inference.hosting import ModelHost
from inference.loading import load
from inference.pipeline import Pipeline
from inference.settings import Quantization
from inference.translation import Translators
from inference.types import Detection, Request, Result, box_iou
from training.grammar import (
    absent_phrases,
    caption,
    caption_facts,
    description,
    phrase,
    questions,
    riddles,
    scene_facts,
    short_caption,
    typed,
)
from training.phrases import NO, YES, Language, Phrase
from training.scenes import draw, held_out_seed
from training.world import Scene, Thing

Metric = Literal[
    "detect_f1",
    "box_iou",
    "mask_iou",
    "caption_accuracy",
    "answer_accuracy",
    "ocr_accuracy",
    "absent_accuracy",
    "translation_accuracy",
]
METRICS: tuple[Metric, ...] = get_args(Metric)

WEIGHTS: Mapping[Metric, float] = MappingProxyType(
    {
        "detect_f1": 3.0,
        "mask_iou": 1.5,
        "caption_accuracy": 2.0,
        "answer_accuracy": 2.0,
        "ocr_accuracy": 1.5,
        "absent_accuracy": 1.0,
    }
)
"""How much each metric counts in the one number that tells a better checkpoint from a worse one."""

_JUDGED = 400_000_009
"""The seed of the scenes by which training chooses what to publish."""

_LEAST_IOU = 0.5
_SCENES_TOGETHER = 4
_TOGETHER = 8
"""How many requests are under way at once: as many as the engine decodes together."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What one answer, or one thing in it, is worth.

    Attributes:
        metric: What it counts for; None for what the table alone tells.
        row: A finer division for the table.
        value: 0 to 1.
    """

    metric: Metric | None
    row: str
    value: float


@dataclass(frozen=True, slots=True)
class Check:
    """A request to the app and the judgement of its result."""

    request: Request
    judge: Callable[[Result], Sequence[Mark]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates a checkpoint.

    Args:
        arguments: The command line without the program's name; by default that of the process.

    Returns:
        The exit code: 0, or 2 after a plain sentence on stderr.
    """
    options = _options(arguments)
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("inference.hosting").setLevel(logging.CRITICAL)  # what it would log is said below
    if options.threads:
        torch.set_num_threads(options.threads)
    begin = time.monotonic()
    host = _host(options.model, options.quantize)
    try:
        hosted = host.get()
        for direction in ("en-es", "es-en"):
            hosted.translators.get(direction)  # a missing one is told now, not when all else is done
        marks = evaluate(
            Pipeline(host, deadline=600.0),
            translate=hosted.translators.translate,
            scenes=[held_out_seed(options.seed, index) for index in range(options.scenes)],
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        host.close()
    summary: dict[str, object] = {metric: _mean(mark for mark in marks if mark.metric == metric) for metric in METRICS}
    summary |= {
        "scenes": options.scenes,
        "seed": options.seed,
        "model": hosted.loaded.name,
        "quantize": options.quantize,
    }
    summary["seconds"] = round(time.monotonic() - begin, 1)
    print(table(marks))
    print(json.dumps(summary))
    return 0


def score(model: str, *, scenes: int = 64) -> tuple[float, dict[Metric, float]]:
    """What a checkpoint reaches on a few scenes that neither training nor the default seeds have.

    Args:
        model: Folder of a checkpoint.
        scenes: How many.

    Returns:
        One number from 0 to 1 by `WEIGHTS`, and the metrics behind it.

    Raises:
        UserError: The checkpoint cannot be loaded.
    """
    host = _host(model, "none")
    try:
        host.get()
        seeds = [held_out_seed(_JUDGED, index) for index in range(scenes)]
        marks = evaluate(Pipeline(host, deadline=600.0), translate=None, scenes=seeds)
    finally:
        host.close()
    parts = {metric: _mean(mark for mark in marks if mark.metric == metric) or 0.0 for metric in WEIGHTS}
    return sum(parts[metric] * weight for metric, weight in WEIGHTS.items()) / sum(WEIGHTS.values()), parts


def evaluate(
    pipeline: Pipeline, *, translate: Callable[[str, Sequence[str]], list[str]] | None, scenes: Sequence[int]
) -> list[Mark]:
    """Asks everything about every scene.

    Args:
        pipeline: The app's own.
        translate: Direction ("en-es", "es-en") and texts to their translations; None leaves translations out.
        scenes: Seeds.

    Raises:
        UserError: The app could not answer a request at all.
    """
    marks: list[Mark] = []
    with (
        ThreadPoolExecutor(_TOGETHER) as pool,
        tqdm(total=len(scenes), unit="scene", desc="evaluating", leave=None) as bar,
    ):
        for start in range(0, len(scenes), _SCENES_TOGETHER):
            drawn = [draw(seed) for seed in scenes[start : start + _SCENES_TOGETHER]]
            listed = [check for scene in drawn for check in checks(scene, random.Random(f"evaluation {scene.seed}"))]
            for check, result in zip(listed, pool.map(pipeline.run, [check.request for check in listed]), strict=True):
                marks += check.judge(result)
            for scene in drawn:
                if translate is not None:
                    marks += judge_translations(translations(scene), translate)
                bar.update()
    return marks


# What is asked

_DESCRIPTIONS: Mapping[str, Callable[[Scene], Phrase]] = MappingProxyType(
    {"short": short_caption, "medium": caption, "long": description}
)


def checks(scene: Scene, rng: random.Random) -> Iterator[Check]:
    """Everything that is asked about one scene.

    Args:
        scene: The truth.
        rng: Chooses what is asked for, the languages and the wordings.
    """
    yield from _search_checks(scene, rng)
    for name in absent_phrases(scene, rng)[:2]:
        task = rng.choice(("detect", "segment"))
        yield Check(Request(scene.image, task, text=name), functools.partial(judge_absent, row=f"{task}"))
    for length in ("short", "medium", "long"):
        language = _some_language(rng)
        told = _DESCRIPTIONS[length](scene).text(language)
        judge = functools.partial(judge_caption, scene=scene, told=told, language=language, row=f"{length}, {language}")
        yield Check(Request(scene.image, "describe", length=length, language=language), judge)
    by_kind: dict[str, list[tuple[str, Language, str]]] = {}
    asked = questions(scene, rng)
    for question in asked:
        language = _some_language(rng)
        wording = typed(rng.choice(question.wordings).text(language), rng)
        by_kind.setdefault(question.kind, []).append((wording, language, question.answer.text(language)))
    for kind, candidates in by_kind.items():
        wording, language, answer = rng.choice(candidates)
        judge = functools.partial(judge_text, answer=answer, metric="answer_accuracy", row=f"{kind}, {language}")
        yield Check(Request(scene.image, "answer", text=wording, language=language), judge)
    riddle = rng.choice([riddle for riddle in riddles(scene) if riddle.answer not in (YES, NO)])
    allowed = [wording.en for question in asked if question.answer == riddle.answer for wording in question.wordings]
    judge = functools.partial(judge_question, allowed=allowed)
    yield Check(Request(scene.image, "ask", text=riddle.answer.en), judge)
    written = scene.writing.text if scene.writing else ""
    # Words read exactly is what the number promises; to read nothing where nothing stands is told beside it.
    judge = functools.partial(
        judge_text, answer=written, metric="ocr_accuracy" if written else None, row="words" if written else "no words"
    )
    yield Check(Request(scene.image, "read_text"), judge)


def _search_checks(scene: Scene, rng: random.Random) -> Iterator[Check]:
    """One thing by its kind, one by its colour too, and several kinds at once; boxes of each, masks of two of them."""
    plain = phrase(rng.choice(scene.things), False)
    coloured = phrase(rng.choice(scene.things), True)
    kinds = list(dict.fromkeys(phrase(thing, False) for thing in scene.things))
    rng.shuffle(kinds)
    searches = [("detect", "one kind", [plain]), ("detect", "with colour", [coloured])]
    searches.append(("segment", *rng.choice((("one kind", [plain]), ("with colour", [coloured])))))
    if len(kinds) > 1:
        searches.append(("detect", "several kinds", kinds[: rng.choice((2, 3))]))
        searches.append(("segment", "several kinds", kinds[:2]))
    for task, row, names in searches:
        judge = functools.partial(judge_search, scene=scene, names=names, row=f"{task} {row}", masks=task == "segment")
        yield Check(Request(scene.image, task, text=" ; ".join(names)), judge)


def _some_language(rng: random.Random) -> Language:
    return "es" if rng.random() < 0.35 else "en"


def translations(scene: Scene) -> list[tuple[str, Phrase]]:
    """What is said about a scene in both languages, each with its row in the table."""
    found = [("descriptions", made(scene)) for made in (short_caption, caption, description)]
    found += [("questions", riddle.question) for riddle in riddles(scene)]
    found += [("labels", Phrase(phrase(thing, True), _spanish_label(thing))) for thing in scene.things]
    return found


def _spanish_label(thing: Thing) -> str:
    colour = thing.colour.es_m if thing.kind.gender == "m" else thing.colour.es_f
    return f"{thing.kind.es} {colour}"


# How it is judged


def judge_search(result: Result, *, scene: Scene, names: Sequence[str], row: str, masks: bool) -> list[Mark]:
    """Compares boxes, and masks if they were asked for, with the things that were searched.

    F1 is 2 hits / (2 hits + misses + false alarms): a hit counts as two marks of 1, the others as one mark of 0.
    """
    wanted = [(name, thing) for name in names for thing in scene.things if name in _names(thing)]
    pairs = matched(result.detections, wanted)
    marks = [Mark("detect_f1", row, 1.0)] * 2 * len(pairs)
    marks += [Mark("detect_f1", row, 0.0)] * (len(wanted) + len(result.detections) - 2 * len(pairs))
    for detection, thing in pairs:
        marks.append(Mark("box_iou", row, box_iou(detection.box, thing.box)))
        if masks:
            marks.append(Mark("mask_iou", row, mask_iou(detection.mask, thing.mask)))
    return marks


def judge_absent(result: Result, *, row: str) -> list[Mark]:
    """Right is to find nothing."""
    return [Mark("absent_accuracy", row, float(not result.detections))]


def judge_caption(result: Result, *, scene: Scene, told: str, language: Language, row: str) -> list[Mark]:
    """Right is to name every thing with its colour and nothing else; whether to the letter counts for the table."""
    return [
        Mark("caption_accuracy", row, float(caption_facts(result.text, language) == scene_facts(scene))),
        Mark(None, f"{row}, to the letter", float(_plain(result.text) == _plain(told))),
    ]


def judge_question(result: Result, *, allowed: Collection[str]) -> list[Mark]:
    """Right is any question that has the answer; it counts for the table."""
    return [Mark(None, "questions for an answer", float(_plain(result.text) in map(_plain, allowed)))]


def judge_text(result: Result, *, answer: str, metric: Metric | None, row: str) -> list[Mark]:
    """Right is the very text; capitals and a final full stop do not matter."""
    return [Mark(metric, row, float(_plain(result.text) == _plain(answer)))]


def judge_translations(
    said: Sequence[tuple[str, Phrase]], translate: Callable[[str, Sequence[str]], list[str]]
) -> list[Mark]:
    """Right is the other language's sentence to the letter; into English counts for the table alone."""
    spanish = translate("en-es", [both.en for _, both in said])
    english = translate("es-en", [both.es for _, both in said])
    marks = []
    for (row, both), made_es, made_en in zip(said, spanish, english, strict=True):
        marks.append(Mark("translation_accuracy", row, float(made_es == both.es)))
        marks.append(Mark(None, f"{row} into English", float(made_en == both.en)))
    return marks


def _names(thing: Thing) -> tuple[str, str]:
    return phrase(thing, False), phrase(thing, True)


def _plain(text: str) -> str:
    return text.strip().removesuffix(".").casefold()


def matched(found: Sequence[Detection], wanted: Sequence[tuple[str, Thing]]) -> list[tuple[Detection, Thing]]:
    """Pairs of a detection and the thing it found: the right label, the boxes overlapping enough, the best first.

    Args:
        found: What the model named.
        wanted: Label and thing; each detection and each thing is paired at most once.
    """
    candidates = [
        (box_iou(detection.box, thing.box), i, j)
        for i, detection in enumerate(found)
        for j, (name, thing) in enumerate(wanted)
        if detection.label.strip().casefold() == name.casefold()
    ]
    used_found: set[int] = set()
    used_wanted: set[int] = set()
    pairs = []
    for iou, i, j in sorted(candidates, reverse=True):
        if iou >= _LEAST_IOU and i not in used_found and j not in used_wanted:
            used_found.add(i)
            used_wanted.add(j)
            pairs.append((found[i], wanted[j][1]))
    return pairs


def mask_iou(found: np.ndarray | None, truth: np.ndarray) -> float:
    """Intersection over union of two masks bool (height, width); no mask overlaps with nothing."""
    if found is None:
        return 0.0
    union = int((found | truth).sum())
    return int((found & truth).sum()) / union if union else 0.0


# How it is told


def table(marks: Sequence[Mark]) -> str:
    """The means of all marks and of each row, for people."""
    lines = [f"{'':34}{'share':>7}{'marks':>8}"]
    for metric in (*METRICS, None):
        own = [mark for mark in marks if mark.metric == metric]
        if not own:
            continue
        lines.append(_line(metric, own) if metric else "besides")
        lines += [_line(f"  {row}", [mark for mark in own if mark.row == row]) for row in sorted({m.row for m in own})]
    return "\n".join(lines)


def _line(title: str, marks: Sequence[Mark]) -> str:
    return f"{title:34}{_mean(marks):7.3f}{len(marks):8}"


def _mean(marks: Iterable[Mark]) -> float | None:
    values = [mark.value for mark in marks]
    return round(sum(values) / len(values), 4) if values else None


# Setting up


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Evaluates a checkpoint on drawn scenes that training never sees: a table, then one line of JSON.",
        allow_abbrev=False,
    )
    parser.add_argument("--scenes", type=_positive, default=150, help="how many scenes (default: 150)")
    parser.add_argument("--seed", type=int, default=0, help="which scenes; any whole number (default: 0)")
    parser.add_argument(
        "--model", default="demo", metavar="FOLDER", help="folder of a checkpoint (default: the one in assets/)"
    )
    parser.add_argument("--threads", type=_positive, default=None, help="threads of the processor (default: all)")
    parser.add_argument("--quantize", choices=get_args(Quantization), default="none", help="as for app.py")
    return parser.parse_args(arguments)


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _host(model: str, quantize: Quantization) -> ModelHost:
    """The model, loaded or failed, with the translators of the repository."""
    host = ModelHost(
        [checkpoints.Choice(model, "It is evaluated.")],
        load=functools.partial(load, device=checkpoints.pick_device("auto"), quantize=quantize),
        translators=lambda _: Translators(
            checkpoints.CHECKPOINTS["demo"].translators, device=checkpoints.pick_device("auto")
        ),
    )
    host.start()
    host.wait()
    return host


if __name__ == "__main__":
    sys.exit(main())
