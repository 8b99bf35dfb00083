"""One request on its way through the engine, and what whoever asked sees of it.

Knows events, times and texts that grow. Knows no model, no queue and no thread but that of whoever reads.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from inference.batch import Chosen, Sequence
from inference.errors import DeadlineExceeded, UserError
from inference.sentences import Sentence
from inference.types import Timing

LOOK_AROUND = 0.1
"""Seconds between two looks at whether the one who asked is still there, while nothing else happens."""

_TOGETHER = 0.03
"""Seconds within which tokens are handed over together: nobody reads faster, and each waking of a thread costs time."""

_GRACE = 5.0
"""Seconds past its deadline after which a request ends even if the engine does not say so."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits.

    Attributes:
        ahead: How many wait before it.
        seconds: How long it will wait, as far as one can tell from those before, or None.
    """

    ahead: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The request left the queue, the model looks at the picture."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token that the model wrote.

    Attributes:
        id: Its number in the vocabulary.
        text: What it adds to the output; a character of several tokens comes with the last of them.
        probability: 0 to 1, of this very token.
        score: The same; but for a location token, which competes with its neighbours, the probability of all
            location tokens within 2.5 % of the picture's side.
        more: Whether the next one is there already, so that nothing need be shown before it.
    """

    id: int
    text: str
    probability: float
    score: float
    more: bool = field(default=False, compare=False)


Event = Queued | Started | Token


@dataclass(slots=True, eq=False, kw_only=True)
class Row(Sequence):
    """A request in the engine. Only the worker that has it changes it, apart from `cancelled`.

    Attributes:
        key: Under which a finished answer is kept.
        client: Who asks; see `inference.types.Request`.
        seen: Whether its picture was looked at while it was in line, or at least tried.
        written: The tokens so far.
        repeated: How many of them were written again since the request began anew.
        alone: Whether it is tried again for lack of memory, with nothing beside it.
        place: Its place in the queue, as it was last told.
    """

    key: bytes
    max_new_tokens: int
    deadline: float
    ignore_eos: bool
    client: str = ""
    seen: bool = False
    events: "queue.SimpleQueue[Queued | Started | list[Chosen] | UserError | Timing]" = field(
        default_factory=queue.SimpleQueue
    )
    cancelled: threading.Event = field(default_factory=threading.Event)
    written: list[Chosen] = field(default_factory=list)
    repeated: int = 0
    alone: bool = False
    place: int | None = None
    submitted: float = field(default_factory=time.perf_counter)
    started: float = 0.0
    prefilled: float = 0.0
    _untold: list[Chosen] = field(default_factory=list)
    _told: float = 0.0

    def add(self, chosen: Chosen) -> None:
        """Takes a token; one that whoever asked has read already, before the request began anew, is not told again."""
        if self.repeated < len(self.written):
            self.repeated += 1
            return
        self.written.append(chosen)
        self.repeated += 1
        self._untold.append(chosen)
        if time.perf_counter() - self._told > _TOGETHER:
            self._tell()

    def complete(self, *, cached: bool = False) -> None:
        """Tells what was not told yet, and how long all took."""
        self._tell()
        self.events.put(self.timing(time.perf_counter(), cached=cached))

    def _tell(self) -> None:
        if self._untold:
            self.events.put(self._untold)
        self._untold = []
        self._told = time.perf_counter()

    def begin_anew(self) -> None:
        """Forgets where it stands in the model, but not what it has told."""
        self.alone = True
        self.repeated = self.length = self.last_token = 0
        self.features = None
        self.vision = self.prefill = self.prefilled = 0.0

    def timing(self, now: float, *, cached: bool = False) -> Timing:
        """How long it took until now."""
        ahead = self.vision if self.seen else 0.0  # it did not wait while its picture was looked at
        return Timing(
            queue=max(0.0, (self.started or now) - self.submitted - ahead),
            vision=self.vision,
            prefill=self.prefill,
            decode=now - self.prefilled if self.prefilled else 0.0,
            total=now - self.submitted,
            tokens=len(self.written),
            cached=cached,
        )


class Generation:
    """The answer to one request as it is written.

    Iterate for what happens: `Queued` while it waits, `Started`, then a `Token` for each that the model writes.
    Iterating raises the `UserError` that ended the request early, if one did. Leaving the loop does not cancel.

    Args:
        row: The request.
        decode: Turns ids into text.
        left: Says whether nobody waits for the answer any more; it is cancelled then.
    """

    def __init__(self, row: Row, decode: Callable[[list[int]], str], left: Callable[[], bool] | None = None) -> None:
        self._row = row
        self._text = TextStream(decode)
        self._left = left
        self._timing: Timing | None = None

    @property
    def timing(self) -> Timing:
        """How long the stages took, until now or until the answer was complete."""
        return self._timing or self._row.timing(time.perf_counter())

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._next()
            if isinstance(event, Timing):
                self._timing = event
                return
            if isinstance(event, UserError):
                raise event
            if isinstance(event, list):
                for left, chosen in zip(reversed(range(len(event))), event, strict=True):
                    text = self._text.add(chosen.id)
                    yield Token(chosen.id, text, chosen.probability, chosen.score, more=left > 0)
            else:
                yield event

    def cancel(self) -> None:
        """Ends the request before its next token; its slot is free within one step."""
        self._row.cancelled.set()

    def _next(self) -> Queued | Started | list[Chosen] | UserError | Timing:
        while True:
            if self._left is not None and self._left():
                self.cancel()
            try:
                return self._row.events.get(timeout=LOOK_AROUND)
            except queue.Empty:
                if time.perf_counter() > self._row.deadline + _GRACE:  # a model that hangs says nothing
                    self.cancel()
                    return too_late()


class TextStream:
    """Turns ids into text one by one: a piece of text comes with the id that completes its last character."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._context: list[int] = []
        self._new: list[int] = []

    def add(self, token: int) -> str:
        """The text that this id adds, in the company of those before it."""
        self._new.append(token)
        text = self._decode(self._context + self._new)
        if text.endswith("\ufffd"):  # the bytes of a character that is not complete yet
            return ""
        # What comes next may be spaced and joined by what came just before, so that much is kept as its context.
        piece = text[len(self._decode(self._context)) :]
        self._context, self._new = self._new, []
        return piece


def too_late() -> DeadlineExceeded:
    """What a request is told that took longer than it may."""
    return DeadlineExceeded(Sentence("The answer took too long and was stopped. Ask for less, or try again later."))
