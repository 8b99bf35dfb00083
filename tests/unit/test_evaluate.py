"""The evaluation's judgement: what counts as right, and what an unusable checkpoint gets."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from inference.checkpoints import CHECKPOINTS
from inference.tasks import TASKS
from inference.types import Detection, Result
from tests.unit.test_grammar import scene, thing
from training import checkpoint
from training.evaluate import (
    METRICS,
    WEIGHTS,
    Mark,
    checks,
    judge_absent,
    judge_caption,
    judge_question,
    judge_search,
    judge_text,
    judge_translations,
    main,
    mask_iou,
    score,
    table,
    translations,
)
from training.world import Scene, Thing

STAR, RING = thing("red star", 20, 20), thing("blue ring", 70, 70)
DRAWN = scene(STAR, RING, writing="OPEN")


def result(text: str = "", *detections: Detection) -> Result:
    return Result("detect", "a model", "", text, text, 100, 100, detections=detections)


def found(label: str, of: Thing, *, shift: float = 0, mask: np.ndarray | None = None) -> Detection:
    x_min, y_min, x_max, y_max = of.box
    return Detection(label, (x_min + shift, y_min, x_max + shift, y_max), mask=mask)


def mean(marks: list[Mark], metric: str) -> float:
    values = [mark.value for mark in marks if mark.metric == metric]
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("detections", "f1"),
    [
        pytest.param([found("star", STAR), found("ring", RING)], 1.0, id="all found"),
        pytest.param([], 0.0, id="nothing found"),
        pytest.param([found("star", STAR)], 2 / 3, id="one missed"),
        pytest.param([found("star", STAR), found("ring", RING), found("ring", STAR)], 0.8, id="one too many"),
        pytest.param([found("star", STAR), found("star", STAR, shift=1)], 0.5, id="the same thing twice"),
        pytest.param([found("ring", STAR), found("star", RING)], 0.0, id="labels mixed up"),
        pytest.param([found("star", STAR, shift=9), found("ring", RING)], 0.5, id="too far off"),
        pytest.param([found(" Star ", STAR), found("ring", RING)], 1.0, id="capitals and spaces do not matter"),
    ],
)
def test_detections_count_as_f1(detections: list[Detection], f1: float) -> None:
    marks = judge_search(result("", *detections), scene=DRAWN, names=["star", "ring"], row="", masks=False)
    assert mean(marks, "detect_f1") == pytest.approx(f1)


def test_a_mask_is_compared_with_the_true_silhouette() -> None:
    truth = np.zeros((100, 100), bool)
    truth[10:20, 10:20] = True
    half = truth & (np.arange(100) < 15)
    drawn = scene(Thing(STAR.kind, STAR.colour, STAR.box, truth))
    for mask, iou in ((truth, 1.0), (half, 0.5), (None, 0.0)):
        marks = judge_search(
            result("", found("red star", STAR, mask=mask)), scene=drawn, names=["red star"], row="", masks=True
        )
        assert mean(marks, "mask_iou") == pytest.approx(iou)


def test_masks_that_do_not_meet_have_no_overlap() -> None:
    assert mask_iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 0


def test_finding_what_is_not_there_is_wrong() -> None:
    assert judge_absent(result(), row="")[0].value == 1
    assert judge_absent(result("", found("key", STAR)), row="")[0].value == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a red star and a blue ring", 1, id="both"),
        pytest.param("A blue ring to the right of a red star.", 1, id="in another order"),
        pytest.param("a red star", 0, id="one forgotten"),
        pytest.param("a red star, a blue ring and a green key", 0, id="one invented"),
        pytest.param("a blue star and a red ring", 0, id="colours mixed up"),
        pytest.param("", 0, id="nothing"),
    ],
)
def test_a_caption_names_every_thing_and_nothing_else(text: str, value: int) -> None:
    assert judge_caption(result(text), scene=DRAWN, told="", language="en", row="")[0].value == value


def test_a_question_is_right_if_the_answer_fits_it() -> None:
    allowed = ["What color is the ring?", "What is the color of the ring?"]
    said = ("what is the color of the ring?", "What color is the star?")
    assert [judge_question(result(text), allowed=allowed)[0].value for text in said] == [1, 0]


def test_an_answer_is_right_to_the_letter_but_for_capitals_and_a_full_stop() -> None:
    def value(text: str) -> float:
        return judge_text(result(text), answer="blue ring", metric="answer_accuracy", row="")[0].value

    assert [value("blue ring"), value("Blue ring."), value("blue"), value("")] == [1, 1, 0, 0]


def test_translations_are_compared_to_the_letter() -> None:
    said = translations(DRAWN)
    spanish = {both.en: both.es for _, both in said}
    english = {both.es: both.en for _, both in said}

    def translate(direction: str, texts: list[str]) -> list[str]:
        return [(spanish if direction == "en-es" else english)[text] for text in texts]

    assert mean(judge_translations(said, translate), "translation_accuracy") == 1
    assert mean(judge_translations(said, lambda _, texts: texts), "translation_accuracy") == 0


@pytest.mark.parametrize("drawn", [DRAWN, scene(STAR)], ids=["two things and a word", "one thing alone"])
def test_every_task_is_asked_and_the_table_tells_each(drawn: Scene) -> None:
    listed = list(checks(drawn, random.Random(0)))
    assert {check.request.task for check in listed} == set(TASKS) - {"prompt"}
    marks = [mark for check in listed for mark in check.judge(result())]
    told = table(marks)
    assert all(metric in told for metric in METRICS if any(mark.metric == metric for mark in marks))


def test_the_same_scene_and_draw_ask_the_same() -> None:
    first, second = ([check.request.text for check in checks(DRAWN, random.Random(4))] for _ in range(2))
    assert first == second


def test_a_folder_that_is_no_checkpoint_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--scenes", "1", "--model", str(tmp_path)]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert "Traceback" not in written.err
    assert written.err.strip().endswith(".")


@pytest.mark.slow
def test_the_carried_checkpoint_is_evaluated_and_one_line_of_json_comes_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--scenes", "2", "--seed", "11"]) == 0
    told, last = capsys.readouterr().out.rsplit("\n", 2)[:2]
    summary = json.loads(last)
    assert list(summary) == [*METRICS, "scenes", "seed", "model", "quantize", "seconds"]
    assert (summary["scenes"], summary["seed"]) == (2, 11)
    assert all(summary[metric] is None or 0 <= summary[metric] <= 1 for metric in METRICS)
    assert "caption_accuracy" in told


@pytest.mark.parametrize("arguments", [["--scenes", "0"], ["--scenes", "many"], ["--seeds", "1"]])
def test_a_wrong_argument_ends_with_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_one_number_tells_a_trained_checkpoint_from_one_that_sees_nothing(tmp_path: Path) -> None:
    published = CHECKPOINTS["demo"].folder
    assert published is not None
    trained, parts = score(str(published), scenes=3)
    assert parts.keys() == WEIGHTS.keys()

    model, found = checkpoint.fresh(0)
    words = checkpoint.adopt(published, model, found)
    for parameter in model.model.vision_tower.parameters():
        parameter.data.zero_()
    checkpoint.publish(model, found, words, published / checkpoint.CODEC_FILE, tmp_path / "blind")
    blind, _ = score(str(tmp_path / "blind"), scenes=3)

    assert 0.8 < trained <= 1
    assert blind < 0.5
