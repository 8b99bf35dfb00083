"""The examples: pictures that are there, small and licensed, for every task and for every kind of model."""

from dataclasses import replace

import pytest
from PIL import Image

from inference.hosting import ModelStatus
from inference.tasks import TASKS
from ui.examples import FOLDER, kinds_for, read_examples

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
