"""The app on a free port, with the real models or with small real stand-ins for what stands behind the page."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.routing import Route

from inference import tasks
from inference.errors import Cancelled
from inference.hosting import ModelStatus
from inference.pipeline import Progress
from inference.settings import Settings
from inference.types import Detection, Request, Result, Timing, Translation
from ui import page

READY = ModelStatus("stand-in", "ready", progress=1.0, device="cpu", dtype="float32", parameters=1)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(pipeline: Any, host: Any, *, routes: Sequence[Route] = (), **settings: Any) -> Iterator[str]:
    """Serves the page and the API, and says where."""
    chosen = Settings(port=free_port(), **settings)
    app = page.build(pipeline, host, chosen)
    try:
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **page.launch_options(chosen, app, routes=routes))
        yield url
    finally:
        app.close(verbose=False)
        app.server.thread.join()  # it deletes its uploads at its very end, and another app may have the same ones


@dataclass
class StandInHost:
    """Says what it is told about models."""

    states: tuple[ModelStatus, ...] = (READY,)

    @property
    def ready(self) -> bool:
        return any(status.state == "ready" for status in self.states)

    def statuses(self) -> tuple[ModelStatus, ...]:
        return self.states


@dataclass
class StandInPipeline:
    """Answers at once, or word by word as a test lets it.

    Attributes:
        words: What it answers in words.
        things: What it finds, whatever it is asked for.
        problems: What it says was wrong.
        failure: What it raises after the first word, or None.
        held: Whether it waits after the first word until `go` is set.
        requests: What it was asked.
        cancelled: Set when an answer was given up in its middle.
    """

    words: str = "two red boats"
    things: tuple[Detection, ...] = ()
    problems: tuple[str, ...] = ()
    failure: Exception | None = None
    held: bool = False
    go: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    requests: list[Request] = field(default_factory=list)

    def run(self, request: Request, *, left: Callable[[], bool] | None = None) -> Result:
        for item in self.stream(request, left=left):
            if isinstance(item, Result):
                return item
        raise Cancelled("Stopped.")

    def stream(self, request: Request, *, left: Callable[[], bool] | None = None) -> Iterator[Progress | Result]:
        task = tasks.check(request)
        self.requests.append(request)
        written = ""
        try:
            yield Progress("looking")
            for number, word in enumerate(self.words.split(), start=1):
                written = f"{written} {word}".strip()
                yield Progress("writing", raw=written, tokens=number)
                if self.failure is not None:
                    raise self.failure
                while self.held and not self.go.wait(0.02):
                    if left is not None and left():
                        self.cancelled.set()
                        raise Cancelled("The visitor left.")
                    yield Progress("writing", raw=written, tokens=number)
        except GeneratorExit:
            self.cancelled.set()
            raise
        yield Result(
            task=request.task,
            model=READY.name,
            prompt=task.prompt(request),
            raw=written,
            text=written,
            width=request.image.width,
            height=request.image.height,
            translation=Translation("es", "dos barcos rojos") if request.translate else None,
            detections=self.things,
            problems=self.problems,
            timing=Timing(total=0.5, tokens=len(written.split())),
        )


def thing(label: str, box: tuple[float, float, float, float], score: float, **fields: Any) -> Detection:
    """Something found in a picture of 100 x 80 pixels, with its box filled as its mask."""
    mask = np.zeros((80, 100), dtype=bool)
    left, top, right, bottom = map(int, box)
    mask[top:bottom, left:right] = True
    return Detection(label, box, score, mask, **fields)
