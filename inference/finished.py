"""The answers that were given lately, for whoever asks the same about the same picture again.

Knows keys and tokens. Knows no model and no text.
"""

import threading
from collections import OrderedDict

from inference.batch import Chosen

_ENTRY_BYTES = 256
_TOKEN_BYTES = 128
"""About what an answer and each of its tokens take in Python."""


class FinishedAnswers:
    """Complete answers by what was asked; the least recently used are dropped beyond a size.

    Args:
        max_bytes: How much they may take, about; 0 keeps none.
    """

    def __init__(self, max_bytes: int = 4 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._answers: OrderedDict[bytes, tuple[Chosen, ...]] = OrderedDict()

    def get(self, key: bytes) -> tuple[Chosen, ...] | None:
        """The tokens of the answer, or None."""
        with self._lock:
            tokens = self._answers.get(key)
            if tokens is not None:
                self._answers.move_to_end(key)
            return tokens

    def put(self, key: bytes, tokens: tuple[Chosen, ...]) -> None:
        """Keeps an answer; the oldest go where there is no room."""
        with self._lock:
            if key in self._answers or _size(key, tokens) > self._max_bytes:
                return
            self._answers[key] = tokens
            self._bytes += _size(key, tokens)
            while self._bytes > self._max_bytes:
                self._bytes -= _size(*self._answers.popitem(last=False))


def _size(key: bytes, tokens: tuple[Chosen, ...]) -> int:
    return _ENTRY_BYTES + len(key) + _TOKEN_BYTES * len(tokens)
