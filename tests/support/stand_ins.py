"""The fixtures of the files that try the app with a stand-in for the model; import all four where they are to hold."""

from collections.abc import Iterator
from typing import Any

import pytest

from inference.images import Limits
from inference.settings import Settings
from tests.support.serving import StandInHost, StandInPipeline, serve
from ui.context import Context
from ui.texts import Texts
from ui.visitors import Visitors

__all__ = ["_fresh", "pipeline", "settings", "stand_in_context", "url"]


def stand_in_context() -> Context:
    """What a part of the page is given that is tried without a server; a visitor has one request at once."""
    return Context(
        pipeline=StandInPipeline(),  # type: ignore[arg-type]
        host=StandInHost(),  # type: ignore[arg-type]
        settings=Settings(),
        limits=Limits(),
        texts=Texts.read(),
        visitors=Visitors(at_once=1),
    )


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
