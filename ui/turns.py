"""Which visitor is being answered, so that Stop ends the right answer.

Gradio can cancel an event by itself, but then the last words of the cancelled one and the words of Stop race to the
page. Here the one that answers is told to stop, and has the last word.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """The answers that are being given, one a visitor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, threading.Event] = {}

    @contextmanager
    def take(self, visitor: str) -> Iterator[threading.Event]:
        """Begins an answer; one that the same visitor still waits for is told to stop.

        Args:
            visitor: Names the session.

        Yields:
            What is set when this answer is to stop.
        """
        told = threading.Event()
        self.stop(visitor)
        with self._lock:
            self._told[visitor] = told
        try:
            yield told
        finally:
            with self._lock:
                if self._told.get(visitor) is told:
                    del self._told[visitor]

    def stop(self, visitor: str) -> None:
        """Tells the visitor's answer to stop, if there is one."""
        with self._lock:
            told = self._told.get(visitor)
        if told is not None:
            told.set()

    def taken(self, visitor: str) -> bool:
        """Whether the visitor is being answered."""
        with self._lock:
            return visitor in self._told
