"""Requests through the whole pipeline, on a tiny model with random weights: what holds whatever the model says."""

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from inference.batch import Chosen
from inference.checkpoints import Choice
from inference.engine import Token
from inference.errors import InvalidInput, ModelUnavailable
from inference.generation import Generation, Row
from inference.hosting import ModelHost, host_models
from inference.loading import LoadedModel
from inference.pipeline import Pipeline, Progress, score
from inference.settings import Settings
from inference.tasks import TASKS
from inference.types import Detection, Request, Result
from tests.support.tiny import Shouting, tiny_loaded

WORDS = {"gato": "cat", "perro": "dog"}
TEXTS = {"question": "what is it?", "answer": "two", "objects": "cat ; dog", "prompt": "anything at all"}


class Says:
    """An engine that says what a test gives it, token by token, to its limit."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = list(pieces)

    def submit(self, image: Image.Image, prompt: str, *, max_new_tokens: int, **_: object) -> Generation:
        nothing = torch.zeros(1)
        row = Row(nothing, nothing, b"", key=b"", max_new_tokens=max_new_tokens, deadline=math.inf, ignore_eos=False)
        vocabulary = list(dict.fromkeys(self._pieces))
        for piece in self._pieces[:max_new_tokens]:
            row.add(Chosen(vocabulary.index(piece), probability=1.0, score=1.0))
        row.complete()
        return Generation(row, lambda ids: "".join(vocabulary[number] for number in ids))

    def close(self) -> None: ...


class Missing:
    """A translator that cannot be had."""

    def translate(self, direction: str, texts: Sequence[str]) -> list[str]:
        raise ModelUnavailable(f"The {direction} translator could not be fetched.")


def host_of(translators: object, *names: str) -> ModelHost:
    host = ModelHost(
        [Choice(name, "because a test says so") for name in names or ("tiny",)],
        load=lambda name, *, progress: tiny_loaded(name),
        translators=lambda _: translators,
    )
    host.start()
    host.wait(60)
    return host


@pytest.fixture(scope="module")
def shouting() -> Shouting:
    return Shouting()


@pytest.fixture(scope="module")
def pipeline(shouting) -> Iterator[Pipeline]:
    host = host_of(shouting)
    yield Pipeline(host)
    host.close()


def request(task: str, **changes: object) -> Request:
    fields = {"image": Image.new("RGB", (64, 48), "red"), "task": task, "text": TEXTS.get(TASKS[task].text or "", "")}
    return Request(**(fields | {"max_new_tokens": 12} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_streams_its_text_and_ends_with_one_result(pipeline, task):
    *progress, result = pipeline.stream(request(task))

    assert isinstance(result, Result)
    assert all(isinstance(item, Progress) for item in progress)
    written = [item for item in progress if item.stage == "writing"]
    counts = [item.tokens for item in written]
    assert counts[0] == 1, "the first token is shown at once"
    assert counts == sorted(set(counts))
    assert counts[-1] == result.timing.tokens
    assert written[-1].raw == result.raw
    assert (result.width, result.height) == (64, 48)
    assert result.timing.total >= result.timing.decode > 0


def test_the_model_is_given_the_prompt_of_the_task(pipeline):
    asked = request("answer", text="a <image>\nof what?", language="es")
    assert pipeline.run(asked).prompt == "answer es a ‹image> of what?"


def test_spanish_input_reaches_the_model_in_english_each_object_by_itself(pipeline, shouting):
    result = pipeline.run(request("detect", text="gato ; perro", input_language="es"))

    assert ("es-en", ["gato", "perro"]) in shouting.asked
    assert result.prompt == "detect GATO ; PERRO"


def test_a_translation_never_sees_a_location_or_mask_token(pipeline, shouting):
    shouting.asked.clear()
    for task in TASKS:
        pipeline.run(request(task, translate=True, max_new_tokens=60))

    given = [text for _, texts in shouting.asked for text in texts]
    assert given
    assert not any("<loc" in text or "<seg" in text for text in given)


def test_without_a_translator_the_answer_stays_and_a_note_says_why():
    host = host_of(Missing())
    result = Pipeline(host).run(request("describe", translate=True))
    host.close()

    assert result.raw
    assert result.translation is None
    assert any("en-es translator could not be fetched" in problem for problem in result.problems)


def test_a_cut_answer_says_where_it_was_cut(pipeline):
    result = pipeline.run(request("describe", max_new_tokens=3))

    assert result.timing.tokens == 3
    assert any("3 tokens" in problem for problem in result.problems)


def saying(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, pieces: Iterable[str]) -> None:
    hosted = pipeline._host.get(None)
    monkeypatch.setattr(pipeline._host, "get", lambda name: replace(hosted, engine=Says(pieces)))


@pytest.mark.parametrize(
    ("task", "pieces", "text", "things"),
    [
        pytest.param("describe", ["a", " cat", *[" and", " on"] * 60], "a cat and on …", 0, id="words"),
        pytest.param(
            "detect", ["<loc0001>", "<loc0002>", "<loc0900>", "<loc0901>", " cat", " ;"] * 20, "cat", 1, id="boxes"
        ),
    ],
)
def test_an_answer_that_goes_round_in_circles_is_stopped(
    monkeypatch, pipeline, task: str, pieces: list[str], text: str, things: int
):
    saying(monkeypatch, pipeline, pieces)
    result = pipeline.run(request(task, max_new_tokens=100, translate=True))

    assert (result.text.rstrip(" ;"), len(result.detections)) == (text, things)
    assert len(result.raw) < len("".join(pieces)) / 2
    assert "The model said the same again and again, so it was stopped." in result.problems
    assert not any("cut off" in problem for problem in result.problems)
    assert result.timing.tokens > 0


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        pytest.param("", ["Not found: gato, perro."], id="nothing is there"),
        pytest.param("CAT", ["Not found: perro."], id="one is not there, whatever its case"),
        pytest.param("cat;dog", [], id="all are there"),
        pytest.param("kitten", [], id="the model has a name of its own"),
    ],
)
@pytest.mark.parametrize("stop", ["", "."], ids=["names", "with the full stop that a translator gives a sentence"])
def test_what_is_not_in_the_picture_is_named_as_it_was_typed(
    monkeypatch, pipeline, answer: str, missing: list[str], stop: str
):
    box = ["<loc0001>", "<loc0002>", "<loc0900>", "<loc0901>"]
    saying(monkeypatch, pipeline, [piece for name in answer.split(";") if name for piece in (*box, f" {name}", " ;")])
    monkeypatch.setattr(Shouting, "translate", lambda self, direction, texts: [WORDS[text] + stop for text in texts])

    result = pipeline.run(request("detect", text="gato ; perro", input_language="es", max_new_tokens=100))

    assert [problem for problem in result.problems if "found" in problem] == missing


class Counts:
    """Notes what it is told about requests."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def answered(self, result: Result) -> None:
        self.told.append(result.task)

    def failed(self, task: str, error: BaseException) -> None:
        self.told.append(f"{task} {type(error).__name__}")


def test_a_request_counts_as_answered_or_as_failed_and_never_as_both(pipeline):
    counts = Counts()
    observed = Pipeline(pipeline._host, observer=counts)
    observed.run(request("describe", max_new_tokens=2))
    stream = observed.stream(request("ask"))
    next(stream)
    stream.close()
    with pytest.raises(InvalidInput):
        observed.run(request("prompt", text=""))

    assert counts.told == ["describe", "ask GeneratorExit", "prompt InvalidInput"]


@pytest.mark.parametrize(
    ("prompt", "translation"),
    [
        pytest.param("caption en", "SAID", id="English"),
        pytest.param("caption es", "said", id="Spanish of the model's own"),
        pytest.param("describe fr", None, id="another language"),
    ],
)
def test_a_prompt_says_itself_in_which_language_it_is_answered(monkeypatch, pipeline, prompt: str, translation):
    saying(monkeypatch, pipeline, ["said"])
    result = pipeline.run(request("prompt", text=prompt, translate=True))

    assert (result.translation and result.translation.text) == translation


def test_leaving_in_the_middle_frees_the_model_for_the_next(pipeline):
    stream = pipeline.stream(request("describe", max_new_tokens=500))
    next(item for item in stream if isinstance(item, Progress) and item.stage == "writing")
    stream.close()

    assert pipeline.run(request("describe", max_new_tokens=2)).timing.tokens <= 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"task": "answer", "text": " \n "}, "Type a question", id="empty question"),
        pytest.param({"task": "answer", "text": "é ñ " * 200}, "at most 256", id="endless in tokens"),
        pytest.param({"task": "describe", "model": "nope"}, "There is no model “nope”", id="a model that is not there"),
        pytest.param({"task": "describe", "max_new_tokens": 9999}, "from 1 to 512", id="too many tokens"),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is(pipeline, changes, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        pipeline.run(request(**changes))


def test_while_a_model_loads_and_after_it_failed_the_reason_is_given():
    begun, release = threading.Event(), threading.Event()

    def load(name: str, *, progress) -> LoadedModel:
        progress(0.25, "Downloading 1 of 4 GB")
        begun.set()
        release.wait(30)
        raise ModelUnavailable("The licence has not been accepted.")

    host = ModelHost([Choice("gated", "asked for")], load=load, translators=lambda _: Missing())
    host.start()
    begun.wait(30)
    with pytest.raises(ModelUnavailable, match=r"still loading \(25%\)"):
        Pipeline(host).run(request("describe"))
    release.set()
    host.wait(30)

    with pytest.raises(ModelUnavailable, match="licence has not been accepted"):
        Pipeline(host).run(request("describe"))
    assert host.statuses()[0].state == "failed"


def test_of_several_models_each_answers_by_its_name_and_the_first_by_default():
    host = host_of(Missing(), "one", "two")
    pipeline = Pipeline(host)
    names = [pipeline.run(request("describe", model=model)).model for model in (None, "one", "two")]
    host.close()

    assert names == ["one", "one", "two"]


def test_a_score_is_the_mean_of_the_things_own_tokens_and_not_of_its_codes():
    pieces = ["<loc0001>", "<loc0002>", "<loc0900>", "<loc0901>", "<seg001>", " cat", " ;", " more"]
    scores = [0.5, 0.5, 1.0, 1.0, 0.0001, 0.25, 0.1, 0.9]
    tokens = [Token(0, piece, 1.0, value) for piece, value in zip(pieces, scores, strict=True)]
    end = len("".join(pieces[:6]))

    (scored,) = score([Detection("cat", (0, 0, 1, 1), span=(0, end))], tokens)

    assert scored.score == pytest.approx(math.prod([0.5, 0.5, 1.0, 1.0, 0.25]) ** (1 / 5))


@pytest.mark.parametrize(
    ("language", "translated", "note"),
    [
        pytest.param("en", True, "", id="English"),
        pytest.param("es", False, "", id="Spanish of the model's own"),
        pytest.param("fr", False, "only answers in English are translated", id="another language"),
    ],
)
def test_only_english_is_translated(examples: Path, language: str, translated: bool, note: str):
    host = host_models(Settings(models=("demo",), device="cpu"))
    host.start()
    host.wait()
    with Image.open(examples / "boats.webp") as picture:
        asked = Request(picture.convert("RGB"), "describe", language=language, translate=True)
    result = Pipeline(host).run(asked)
    host.close()

    assert (result.translation is not None and result.translation.text != result.text) == translated
    assert (result.translation is None) == bool(note)
    assert note in " ".join(result.problems)
