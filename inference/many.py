"""Several requests through the pipeline at once, and what comes of each as soon as it is known.

Knows threads and stopping; knows no files and no page. The engine answers together what is asked together, so all that
is needed here is to ask from several threads. What goes wrong with one request stays with it.
"""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.errors import Cancelled
from inference.sentences import Sentence
from inference.types import Request, Result

if TYPE_CHECKING:
    from inference.pipeline import Pipeline  # takes seconds to import, which not everyone who asks has to wait for

Job = Callable[[], Request]
"""Makes a request, in the thread that then asks it: opening a picture takes time and memory too."""

BEAT = 0.25
"""Seconds after which a caller hears that there is nothing new: it may have gone, or want to stop."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one of several requests.

    Attributes:
        number: Its place among them, from 0.
        request: The request, or None if it could not be made.
        result: The answer, or None if there is none.
        error: Why there is none.
    """

    number: int
    request: Request | None = None
    result: Result | None = None
    error: Exception | None = None


def answer(pipeline: "Pipeline", request: Request, *, stopped: Callable[[], bool]) -> Result:
    """The answer to one request, unless it is stopped.

    Args:
        pipeline: Answers it.
        request: What is asked.
        stopped: Says whether to end it before its next token.

    Raises:
        Cancelled: It was stopped.
        UserError: See `Pipeline.stream`.
    """
    with closing(pipeline.stream(request, left=stopped)) as stream:  # type: ignore[type-var]  # it is a generator
        for item in stream:
            if stopped():
                break
            if isinstance(item, Result):
                return item
    raise Cancelled(Sentence("This picture was not answered because the run was stopped."))


def answer_all(
    pipeline: "Pipeline", jobs: Iterable[Job], *, at_once: int, stopped: Callable[[], bool]
) -> Generator[Outcome | None, None, None]:
    """Asks several things at a time, and says what came of each as it is known.

    Ends early when it is stopped, and stops what is in flight when it is closed.

    Args:
        pipeline: Answers one.
        jobs: Make the requests; taken one by one, each when there is room for it.
        at_once: How many are asked at a time.
        stopped: Says whether to end; asked in several threads.

    Yields:
        What came of a request, in the order in which they are answered; None now and then while nothing is new.
    """
    over = threading.Event()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="request")
    waiting: set[Future[Outcome]] = set()
    numbered = enumerate(jobs)
    try:
        while not stopped():
            while len(waiting) < at_once and (entry := next(numbered, None)) is not None:
                waiting.add(pool.submit(_outcome, pipeline, *entry, lambda: over.is_set() or stopped()))
            if not waiting:
                return
            done, waiting = wait(waiting, timeout=BEAT, return_when=FIRST_COMPLETED)
            if not done:
                yield None
            for future in done:
                yield future.result()
    finally:
        over.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _outcome(pipeline: "Pipeline", number: int, job: Job, stopped: Callable[[], bool]) -> Outcome:
    request = None
    try:
        request = job()
        return Outcome(number, request, answer(pipeline, request, stopped=stopped))
    except Exception as error:
        return Outcome(number, request, error=error)
