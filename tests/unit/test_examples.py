"""The examples: pictures that are there, small and licensed, for every task and for every kind of model."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PIL import Image

from inference.hosting import ModelStatus, host_models
from inference.pipeline import Pipeline
from inference.settings import Settings
from inference.tasks import TASKS
from inference.types import Request
from training.grammar import caption_facts
from ui.examples import FOLDER, Example, kinds_for, read_examples

READY = ModelStatus("3b", "ready")
EMBEDDED = replace(READY, name="demo", embedded=True)


@pytest.mark.parametrize("kind", ["drawn", "photo"])
def test_there_is_an_example_for_each_task_of_each_kind(kind: str) -> None:
    tasks = {example.task for example in read_examples() if example.kind == kind}
    assert tasks == set(TASKS) - {"prompt"}


@pytest.mark.parametrize("example", read_examples(), ids=lambda example: f"{example.picture.stem}-{example.task}")
def test_an_example_is_small_complete_and_licensed(example: object) -> None:
    assert example.picture.stat().st_size < 120_000
    with Image.open(example.picture) as image:
        assert max(image.size) <= 1000
    assert bool(example.text) == (TASKS[example.task].text is not None)
    assert f"`{example.picture.stem}" in (FOLDER / "LICENCES.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("statuses", "kinds"),
    [
        pytest.param([EMBEDDED], {"drawn"}, id="embedded"),
        pytest.param([READY], {"photo"}, id="real"),
        pytest.param([READY, EMBEDDED], {"drawn", "photo"}, id="both"),
        pytest.param([replace(READY, state="failed"), EMBEDDED], {"drawn"}, id="the real one failed"),
        pytest.param([replace(READY, state="loading")], {"drawn"}, id="none yet"),
        pytest.param([], {"drawn"}, id="no model"),
    ],
)
def test_the_page_shows_what_the_models_can_do(statuses: list[ModelStatus], kinds: set[str]) -> None:
    assert kinds_for(statuses) == kinds


@pytest.fixture(scope="module")
def embedded() -> Iterator[Pipeline]:
    host = host_models(Settings(models=("demo",), device="cpu"))
    host.start()
    host.wait()
    yield Pipeline(host)
    host.close()


TRUTH = {
    "boats": "a red cross, a red house, a red boat and a green boat",
    "welcome": "WELCOME",
    "fish": "red",
    "moons": ["house", "moon", "moon"],
    "mushrooms": ["mushroom", "mushroom", "mushroom"],
    "star": "What color is the house?",
}
"""What a person sees in the drawn examples."""


@pytest.mark.parametrize(
    "example", [each for each in read_examples() if each.kind == "drawn"], ids=lambda example: example.picture.stem
)
def test_the_model_that_everyone_meets_first_is_right_about_its_examples(embedded: Pipeline, example: Example) -> None:
    with Image.open(example.picture) as image:
        asked = Request(image.convert("RGB"), example.task, text=example.text, length=example.length)
    said, truth = embedded.run(asked), TRUTH[example.picture.stem]

    if isinstance(truth, list):
        assert sorted(found.label for found in said.detections) == truth
        assert all(found.mask is not None and found.mask.any() for found in said.detections) or example.task == "detect"
    elif example.task == "describe":
        assert caption_facts(said.text, "en") == caption_facts(truth, "en")
    else:
        assert said.text == truth
