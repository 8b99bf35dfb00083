"""Which visitor is being answered, so that Stop ends the right answer, and only the latest one changes the page.

Gradio can cancel an event by itself, but then the last words of the cancelled one and the words of Stop race to the
page. Here the one that answers is told to stop, and has the last word; unless another has begun, which then has it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Superseded(Exception):
    """Another answer has begun on the page, so that this one has nothing more to say."""


@dataclass(slots=True)
class Turn:
    """An answer that is being given.

    Attributes:
        about: What it is about, if that can change on the page.
        stopped: Whether it is to stop.
        picture_gone: Whether the picture that it is about has gone from the page.
        superseded: Whether the same visitor has another one.
    """

    about: str | None = None
    stopped: bool = False
    picture_gone: bool = False
    superseded: bool = False

    @property
    def outdated(self) -> bool:
        """Whether nobody wants to see what comes of it any more."""
        return self.picture_gone or self.superseded


class Turns:
    """The answers that are being given, one a visitor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, Turn] = {}

    @contextmanager
    def take(self, visitor: str, *, about: str | None = None) -> Iterator[Turn]:
        """Begins an answer; one that the same visitor still waits for is superseded.

        Args:
            visitor: Names the session.
            about: The picture that it is about.
        """
        turn = Turn(about)
        with self._lock:
            before = self._turns.get(visitor)
            self._turns[visitor] = turn
        if before is not None:
            before.superseded = before.stopped = True
        try:
            yield turn
        finally:
            with self._lock:
                if self._turns.get(visitor) is turn:
                    del self._turns[visitor]

    def stop(self, visitor: str, *, now_about: str | None = None) -> None:
        """Tells the visitor's answer to stop, if there is one.

        Args:
            visitor: Names the session.
            now_about: The picture that is on the page now.
        """
        with self._lock:
            turn = self._turns.get(visitor)
        if turn is not None:
            turn.picture_gone = turn.about != now_about
            turn.stopped = True

    def taken(self, visitor: str) -> bool:
        """Whether the visitor is being answered."""
        with self._lock:
            return visitor in self._turns
