"""The fixtures of the files that try the app with a stand-in for the model; import all four where they are to hold."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.serving import StandInHost, StandInPipeline, serve

__all__ = ["_fresh", "pipeline", "settings", "url"]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """How the app of a file's tests is started, where that is not the default."""
    return {}


@pytest.fixture(scope="module")
def pipeline() -> StandInPipeline:
    """What answers in the app of a file's tests."""
    return StandInPipeline()


@pytest.fixture(scope="module")
def url(pipeline: StandInPipeline, settings: dict[str, Any]) -> Iterator[str]:
    """Where the app of a file's tests is."""
    with serve(pipeline, StandInHost(), **settings) as address:
        yield address


@pytest.fixture(autouse=True)
def _fresh(pipeline: StandInPipeline) -> Iterator[None]:
    yield
    pipeline.go.set()
    pipeline.__init__()  # type: ignore[misc]
