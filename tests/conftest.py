"""What all tests share."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from inference.settings import Settings
from ui.scratch import own_folder

# A busy machine may take its time over an example; what holds the app up has tests with a clock of their own.
settings.register_profile(
    "default", max_examples=100, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("default"), max_examples=2500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


LONGEST_FIRST = (
    "test_service", "test_benchmarks", "test_texts", "test_training_runs", "test_translators", "test_endpoints",
    "test_payloads", "test_train_cli", "test_checkpoints", "test_app", "test_evaluate", "test_properties",
    "test_page", "test_ask", "test_accessibility", "test_video", "test_batch", "test_embedded", "test_compare",
)  # fmt: skip
"""The files that take so long that a worker which begins one at the end would keep the others waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the others keep their order."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """One thread for torch: the models here are tiny, and on a busy machine threads wait longer than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _own_uploads() -> Iterator[None]:
    """A folder for the uploads of this process: tests that run beside it delete theirs when they stop the app."""
    with own_folder():
        yield


@dataclass(frozen=True, slots=True)
class Served:
    """The app as it is served to the tests.

    Attributes:
        url: Where.
        model: The name of its model.
    """

    url: str
    model: str


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """The whole app on the embedded checkpoint, or on the one named by PALIGEMMA_TEST_MODEL."""
    from inference.hosting import host_models
    from inference.pipeline import Pipeline
    from tests.support.serving import serve

    name = os.environ.get("PALIGEMMA_TEST_MODEL", "demo")
    host = host_models(Settings(models=(name,), device="cpu"))
    host.start()
    host.wait()
    try:
        model = host.get().loaded.name
        with serve(Pipeline(host), host, mcp=True, max_upload_mb=2) as url:
            yield Served(url, model)
    finally:
        host.close()


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the page's example pictures."""
    return Path(__file__).parent.parent / "assets" / "examples"


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small picture, wider than high."""
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.new("RGB", (100, 80), (60, 120, 180)).save(path)
    return path
