"""What whoever runs the app needs from it: whether it lives, whether it can answer, who may log in, when it is done.

Knows HTTP and gradio's server. Knows nothing of tasks.
"""

import hmac
import time
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.utils import LRUCache
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from inference.hosting import ModelHost
from inference.settings import Settings

SPARE_THREADS = 64

_REST = 0.005
_LOOK = 0.05
_DELIVERY = 0.25
"""Seconds that the last words of an answer are given on their way to the browser."""


class _Mail(LRUCache[str, Any]):
    """Messages by session, of which those go first that nobody looked at for the longest time.

    Args:
        max_size: Of how many sessions.
        forget: Is told of each that goes.
    """

    def __init__(self, max_size: int, forget: Callable[[str], object]) -> None:
        super().__init__(max_size)
        self._forget = forget

    def __getitem__(self, key: str) -> Any:
        messages = super().__getitem__(key)
        self.move_to_end(key)
        return messages

    def popitem(self, last: bool = True) -> tuple[str, Any]:
        key, messages = super().popitem(last)
        self._forget(key)
        return key, messages


def rest_between_events(page: gr.Blocks) -> None:
    """Lets the queue look for events two hundred times a second instead of a thousand.

    That is more than a person could tell, and halves what an app that nobody uses takes of a core (3 of 7 %).
    """
    page._queue.sleep_when_free = max(_REST, page._queue.sleep_when_free)


def keep_the_mail_of_the_present(page: gr.Blocks) -> None:
    """Lets no crowd of strangers end the answer of a visitor who came long before.

    Gradio keeps the messages of 2,000 sessions, and forgets those first that came first, even while they are answered;
    and of what they wait for it keeps a note each for ever.
    """
    queue = page._queue
    size = queue.pending_messages_per_session.max_size
    queue.pending_messages_per_session = _Mail(size, lambda key: queue.pending_event_ids_session.pop(key, None))


def routes(host: ModelHost) -> list[Route]:
    """The addresses that orchestrators ask; they need no login, and tell no more than the states of the models."""

    # Coroutines: the threads may all be busy when somebody asks whether the app lives.
    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> JSONResponse:
        models = [
            {"name": status.name, "state": status.state, "progress": round(status.progress, 2)}
            for status in host.statuses()
        ]
        return JSONResponse({"ready": host.ready, "models": models}, 200 if host.ready else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def threads_for(settings: Settings) -> int:
    """How many threads may answer: whoever waits holds one until the engine does; the others open pictures."""
    return settings.max_queue * len(settings.models) + SPARE_THREADS


def login(account: tuple[str, str]) -> Callable[[str, str], bool]:
    """What says whether a login is the account's, in a time that does not tell how much of it is right."""
    name, secret = (part.encode() for part in account)

    def fits(user: str, password: str) -> bool:
        same_name = hmac.compare_digest(name, user.encode())
        same_secret = hmac.compare_digest(secret, password.encode())
        return same_name & same_secret

    return fits


def wait_until_delivered(page: gr.Blocks, timeout: float) -> bool:
    """Waits until every event has ended and its last message is on its way, and says whether that came to pass."""
    end = time.monotonic() + timeout
    while page._queue.get_active_worker_count():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK)
    time.sleep(_DELIVERY)
    return True
