"""What every part of the page is given when it is built."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from inference.hosting import ModelHost
from inference.images import Limits
from inference.many import Job, Outcome, answer_all
from inference.pipeline import Pipeline
from inference.settings import Settings
from ui.markup import Words
from ui.texts import Texts
from ui.visitors import Visit, Visitors

AT_ONCE = 4
"""How many pictures of a visitor are open and asked about at a time; a large one takes a hundred megabytes."""

# Everything goes through to the engine's own queue, which knows each one's true place, shares fairly and has a limit.
QUEUE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": None}

# For events that only serve the page: not in the API, not in the queue, no veil over what they change.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of the app that the page talks to.

    Attributes:
        pipeline: Answers requests.
        host: Says which models there are.
        settings: How the app was started.
        limits: What pictures may be uploaded.
        texts: The words of the page.
        visitors: Lets requests in; whoever asks the model does so inside `with visitors.admit(request)`.
    """

    pipeline: Pipeline
    host: ModelHost
    settings: Settings
    limits: Limits
    texts: Texts
    visitors: Visitors = field(default_factory=Visitors)

    def words(self, visitor: gr.Request | None) -> Words:
        """The texts in the language of a visitor."""
        return Words(self.texts, self.texts.language_of(visitor))

    @property
    def english(self) -> Words:
        """The texts in the one language that programs and assistants are answered in."""
        return Words(self.texts, "en")

    def answers(
        self, visit: Visit, jobs: Iterable[Job], *, stopped: Callable[[], bool] = lambda: False
    ) -> Generator[Outcome | None, None, None]:
        """What comes of each request of a visitor, as it is known, and None now and then.

        Ends early when the visitor has gone.

        Args:
            visit: Who asks.
            jobs: Make the requests.
            stopped: Says whether to end early besides.
        """
        named = (_asked_by(visit, job) for job in jobs)
        at_once = min(AT_ONCE, self.settings.max_per_visitor)
        yield from answer_all(self.pipeline, named, at_once=at_once, stopped=lambda: visit.left() or stopped())


def _asked_by(visit: Visit, job: Job) -> Job:
    return lambda: visit.asking(job())
