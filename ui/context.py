"""What every part of the page is given when it is built."""

from dataclasses import dataclass, field
from typing import Any

from inference.hosting import ModelHost
from inference.images import Limits
from inference.pipeline import Pipeline
from inference.settings import Settings
from ui.texts import Texts
from ui.visitors import Visitors

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
