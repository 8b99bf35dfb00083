"""Several requests at once: each by itself, as soon as it is known, until someone stops it."""

import threading
from collections.abc import Callable

import pytest
from PIL import Image

from inference.errors import InvalidPicture
from inference.many import Job, answer_all
from inference.types import Request
from tests.support.serving import StandInPipeline

PATIENCE = 20


def about(task: str = "describe") -> Request:
    return Request(Image.new("RGB", (8, 8)), task)


def broken() -> Request:
    raise InvalidPicture("No picture.")


@pytest.mark.parametrize("at_once", [1, 3, 20])
def test_each_request_has_its_own_outcome(at_once: int) -> None:
    jobs: list[Job] = [about, broken, lambda: about("no such task"), about]
    outcomes = [each for each in answer_all(StandInPipeline(), jobs, at_once=at_once, stopped=lambda: False) if each]
    told = {outcome.number: (outcome.result is not None, type(outcome.error).__name__) for outcome in outcomes}
    assert told == {
        0: (True, "NoneType"), 1: (False, "InvalidPicture"), 2: (False, "InvalidInput"), 3: (True, "NoneType"),
    }  # fmt: skip


def test_no_more_are_made_than_are_asked_at_once() -> None:
    pipeline = StandInPipeline(held=True)
    made = threading.Semaphore(0)

    def job() -> Request:
        made.release()
        return about()

    outcomes = answer_all(pipeline, [job] * 5, at_once=2, stopped=lambda: False)
    assert next(outcomes) is None  # a beat: nothing is answered yet
    assert made.acquire(timeout=PATIENCE)
    assert made.acquire(timeout=PATIENCE)
    assert not made.acquire(blocking=False)
    pipeline.go.set()
    assert sum(outcome is not None for outcome in outcomes) == 5


def end_by_stop(outcomes: object, stopped: threading.Event) -> None:
    stopped.set()
    assert list(outcomes) == []  # type: ignore[call-overload]


def end_by_leaving(outcomes: object, stopped: threading.Event) -> None:
    outcomes.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", [end_by_stop, end_by_leaving])
def test_an_end_gives_up_what_is_in_flight_and_begins_no_more(
    end: Callable[[object, threading.Event], None],
) -> None:
    pipeline, stopped = StandInPipeline(held=True), threading.Event()
    outcomes = answer_all(pipeline, [about] * 5, at_once=1, stopped=stopped.is_set)
    assert next(outcomes) is None
    end(outcomes, stopped)
    assert pipeline.cancelled.wait(PATIENCE)
    assert len(pipeline.requests) == 1
