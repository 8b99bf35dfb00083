"""Which words of an English text may name a thing that can be looked for in a picture.

Knows letters and a list of words that name none. Knows no grammar: a verb that is not on the list passes for a thing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inference.tasks import LANGUAGES

LIST = Path(__file__).parent.parent / "assets" / "texts" / "en" / "no_things.txt"

_WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
_SPEAKING = re.compile(r"(?:cap|caption|describe|answer|question) ([a-z]{2,3})\b")
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Naming:
    """Tells words that may name a thing from others.

    Attributes:
        others: Words that name none, in lower case.
    """

    others: frozenset[str]

    @classmethod
    def read(cls, path: Path = LIST) -> "Naming":
        """Reads the list of the words that name no thing."""
        return cls(frozenset(path.read_text("utf-8").split()))

    def pieces(self, text: str) -> Iterator[tuple[str, str | None]]:
        """A text in pieces, each with what to look for if it is a word that may name a thing, else None."""
        end = 0
        for word in _WORD.finditer(text):
            name = word.group().lower()
            if len(name) < _SHORTEST or name in self.others:
                continue
            if word.start() > end:
                yield text[end : word.start()], None
            yield word.group(), name
            end = word.end()
        if end < len(text):
            yield text[end:], None


def language_of(prompt: str) -> str:
    """Code of the language in which a prompt asks for words of the model's own, or empty: others it may have read."""
    match = _SPEAKING.match(prompt)
    return match[1] if match and match[1] in LANGUAGES else ""
