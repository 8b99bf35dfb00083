"""Who waits for the model, in which order and for how long, and who is being answered.

Knows requests, their clients and their times. Knows no model and starts no thread; everything may be called from any.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from inference.errors import Busy, Cancelled, UserError
from inference.generation import Queued, Row, too_late
from inference.sentences import Sentence

AHEAD = 4
"""How many pictures of those in line are looked at before it is their turn; each takes memory until then."""

_WEIGHT = 0.2
"""How much the newest request counts when it is estimated how long one takes."""

_TOKEN_SECONDS = 0.01
"""What a token that a request may write counts against it in line, in seconds of waiting."""


class Line:
    """The requests of one engine: those that wait, and those that its worker has taken.

    Args:
        size: How many may wait.
        slots: How many are answered together.
    """

    def __init__(self, *, size: int, slots: int) -> None:
        self.changed = threading.Condition()
        """Notified of every change; whoever holds it may look at the lists."""
        self.waiting: list[Row] = []
        """In the order in which they came; the order in which they go is `fair_order`."""
        self.taken: list[Row] = []
        self._size = size
        self._slots = slots
        self._service: float | None = None
        self._closed: UserError | None = None

    def check_open(self) -> None:
        """Raises the error with which the line was closed, if it was."""
        if self._closed is not None:
            raise self._closed

    def join(self, row: Row) -> None:
        """Puts a request in line.

        Raises:
            Busy: Too many wait already.
            UserError: The line is closed.
        """
        with self.changed:
            self.check_open()
            if len(self.waiting) >= self._size:
                raise Busy(
                    Sentence("{count} requests are waiting already. Try again in a minute.", count=len(self.waiting))
                )
            self.waiting.append(row)
            self._tell_places()
            self.changed.notify_all()

    def take(self, *, seen: bool = False) -> Row | None:
        """The request whose turn it is, or None if none waits; it counts as taken until it is `done`.

        Args:
            seen: Take only one whose picture was looked at.
        """
        with self.changed:
            self.sweep()
            row = next((row for row in fair_order(self.waiting, self.taken) if row.seen or not seen), None)
            if row is None:
                return None
            self.waiting.remove(row)
            self.taken.append(row)
            self._tell_places()
            self.changed.notify_all()
            return row

    def unseen(self) -> Row | None:
        """The request whose picture is to be looked at next, or None if none is near enough to its turn."""
        with self.changed:
            return next((row for row in fair_order(self.waiting, self.taken)[:AHEAD] if not row.seen), None)

    def saw(self, row: Row) -> None:
        """The request's picture was looked at, or at least tried."""
        with self.changed:
            row.seen = True
            self.changed.notify_all()

    def done(self, row: Row) -> None:
        """The request has ended, in whatever way."""
        with self.changed:
            if row not in self.taken:
                return
            self.taken.remove(row)
            if row.written and row.started:
                took = time.perf_counter() - row.started
                self._service = took if self._service is None else self._service + _WEIGHT * (took - self._service)
            self.changed.notify_all()

    def sweep(self) -> None:
        """Lets go of those in line that were cancelled or waited too long."""
        with self.changed:
            staying = [row for row in self.waiting if not ended_early(row)]
            if len(staying) != len(self.waiting):
                self.waiting = staying
                self._tell_places()
                self.changed.notify_all()

    def fail_taken(self, error: UserError) -> None:
        """Ends those that are being answered."""
        with self.changed:
            self._fail(self.taken, error)

    def close(self, error: UserError) -> None:
        """Ends those in line, and lets nobody join any more."""
        with self.changed:
            self._closed = error
            self._fail(self.waiting, error)

    def wait_until_empty(self, timeout: float) -> bool:
        """Waits until nobody is being answered, and says whether that came to pass."""
        with self.changed:
            return self.changed.wait_for(lambda: not self.taken, timeout)

    def _fail(self, rows: list[Row], error: UserError) -> None:
        for row in rows:
            row.events.put(error)
        rows.clear()
        self.changed.notify_all()

    def _tell_places(self) -> None:
        for place, row in enumerate(fair_order(self.waiting, self.taken)):
            if row.place != place:
                row.place = place
                row.events.put(Queued(place, self._seconds(place)))

    def _seconds(self, place: int) -> float | None:
        """How long the one at this place will wait: a slot becomes free every (service time / slots)."""
        free = self._slots - len(self.taken)
        if place < free:
            return 0.0
        return None if self._service is None else self._service * (place - free + 1) / self._slots


def fair_order(waiting: Sequence[Row], taken: Sequence[Row]) -> list[Row]:
    """The order in which requests are answered: each client's first, then each client's second, and so on.

    Among those of the same number, one that can only be short goes before a longer one that came a little earlier: by
    as much time as it may write fewer tokens. That is the order of their virtual finishing times, as in fair queueing
    (Demers, Keshav, Shenker 1989), and nobody waits for ever.

    What a client has in the model already counts as before. Clients are named from wider to narrower group, as
    `network/session`: sessions share what their network gets.

    Args:
        waiting: In the order in which they came.
        taken: Those that are being answered.
    """
    by_length = sorted(waiting, key=lambda row: row.submitted + _TOKEN_SECONDS * row.max_new_tokens)
    by_session = _in_turn(by_length, [row.client for row in taken], lambda client: client)
    return _in_turn(by_session, [row.client for row in taken], lambda client: client.partition("/")[0])


def _in_turn(rows: Sequence[Row], taken: Sequence[str], name: Callable[[str], str]) -> list[Row]:
    """The rows by how many of the same name go before each; those with the same number stay as they are."""
    before = Counter(map(name, taken))
    turns = []
    for place, row in enumerate(rows):
        turns.append((before[name(row.client)], place))
        before[name(row.client)] += 1
    return [rows[place] for _, place in sorted(turns)]


def ended_early(row: Row) -> bool:
    """Whether a request was cancelled or took too long; tells it so if it was."""
    if row.cancelled.is_set():
        row.events.put(Cancelled(Sentence("The request was stopped.")))
        return True
    if time.perf_counter() > row.deadline:
        row.events.put(too_late())
        return True
    return False
