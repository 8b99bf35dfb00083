"""Who asks the model, and whether they are still there: a limit of requests at once for each visitor.

Knows gradio's requests and events. Knows nothing of models and answers.
"""

import ipaddress
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import gradio as gr
from gradio.context import LocalContext

from inference.errors import Busy
from inference.sentences import Sentence
from inference.types import Request

SESSIONS_AN_ADDRESS = 4
"""How many visitors' worth of requests one address may have: a household or an office shares one."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that was let in.

    Attributes:
        client: Who asks, for `Request.client`.
        left: Says whether nobody waits for the answer any more.
    """

    client: str
    left: Callable[[], bool]

    def asking(self, request: Request) -> Request:
        """A request in this visitor's name."""
        return replace(request, client=self.client)


class Visitors:
    """Lets requests in, so many at once for each visitor.

    A visitor is a session: a page that is open, or a client of the API. Sessions name themselves, so there is a limit
    for the address too, where it is one of the internet. A private address may be a proxy's, behind which everybody
    is: gradio's server replaces those of proxies that it is told to trust, before a request comes here.

    Args:
        at_once: How many requests of a session may be answered or wait.
    """

    def __init__(self, *, at_once: int = 8) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._present: Counter[str] = Counter()
        self.refused = 0
        """How many requests were one too many."""

    @contextmanager
    def admit(self, request: gr.Request | None) -> Iterator[Visit]:
        """Lets a request in for as long as it takes.

        Args:
            request: As gradio gives it to a handler that asks for one, or None for the one that is being handled.

        Raises:
            Busy: This visitor asks for too much at once; the message says how much is allowed.
        """
        request = request or LocalContext.request.get(None)
        session = (getattr(request, "session_hash", None) or "").replace("/", "")
        network = network_of(_host(request))
        limits = {f"session {session}": self._at_once}
        if network:
            limits[f"network {network}"] = self._at_once * SESSIONS_AN_ADDRESS
        with self._lock:
            for name, limit in limits.items():
                if self._present[name] >= limit:
                    self.refused += 1
                    raise Busy(
                        Sentence("At most {count} requests at once are allowed. Wait for one to end.", count=limit)
                    )
            self._present.update(limits.keys())
        try:
            yield Visit("/".join(filter(None, (network.replace("/", "-"), session))), _presence())
        finally:
            with self._lock:
                for name in limits:
                    self._present[name] -= 1
                    if not self._present[name]:
                        del self._present[name]


def network_of(host: str) -> str:
    """What counts as one visitor's address: of IPv6 the first half, which is what a household is given.

    Args:
        host: An address as text.

    Returns:
        The network, or nothing for an address that is not one of the internet.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if not address.is_global:
        return ""
    bits = 64 if address.version == 6 else 32
    return str(ipaddress.ip_network((address, bits), strict=False))


def _host(request: gr.Request | None) -> str:
    client = getattr(request, "client", None)  # a request that was made by hand has none
    return str(getattr(client, "host", "") or "")


def _presence() -> Callable[[], bool]:
    """Says whether the client of the event that runs in this thread has gone.

    Gradio marks the event as soon as the connection that waits for it breaks, but itself looks at the mark only when
    a generator yields.
    """
    page, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    event = page._queue.event_ids_to_events.get(event_id) if page is not None and event_id else None
    return lambda: event is not None and not event.alive
