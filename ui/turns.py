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


class Gone(Exception):
    """What the answer is about is not on the page any more.

    Attributes:
        now_about: The picture or clip that is there now.
    """

    def __init__(self, now_about: str | None) -> None:
        super().__init__()
        self.now_about = now_about


@dataclass(slots=True)
class Turn:
    """An answer that is being given.

    Attributes:
        about: The picture or clip that it is about, if that can change on the page.
        now_about: What is on the page in its place.
        stopped: Whether it is to stop.
        superseded: Whether the same visitor has another one.
    """

    about: str | None
    now_about: str | None
    stopped: bool = False
    superseded: bool = False

    @property
    def picture_gone(self) -> bool:
        """Whether what it is about has gone from the page."""
        return self.now_about != self.about

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
            about: The picture or clip that it is about.
        """
        turn = Turn(about, now_about=about)
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

    def stop(self, visitor: str) -> None:
        """Tells the visitor's answer to stop, if there is one."""
        with self._lock:
            turn = self._turns.get(visitor)
        if turn is not None:
            turn.stopped = True

    def change(self, visitor: str, now_about: str | None) -> bool:
        """Stops the visitor's answer if it is about anything but what is on the page now.

        Args:
            visitor: Names the session.
            now_about: The picture or clip that is on the page now.

        Returns:
            Whether there is such an answer, which then has the last word.
        """
        with self._lock:
            turn = self._turns.get(visitor)
        if turn is None:
            return False
        turn.now_about = now_about
        turn.stopped = turn.stopped or turn.picture_gone
        return True

    def taken(self, visitor: str) -> bool:
        """Whether the visitor is being answered."""
        with self._lock:
            return visitor in self._turns
