"""Texts that a model wrote, as they may stand on one line: of a terminal, of a subtitle, of a label.

Knows characters. Knows nothing of languages, files or drawings.
"""

import re
import unicodedata

# Soft hyphens, marks and controls of direction, and the rest that only ever draws nothing. What joins and separates
# letters (U+200C, U+200D) is not among them: without it, Persian words and emoji are others.
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def on_one_line(text: str) -> str:
    """The text without line breaks, without what a terminal would obey and without what would turn it around.

    All other characters stay, those that a later Unicode than Python's gives out too. White space is collapsed.

    Args:
        text: Any, lone surrogates included.
    """
    shown = (
        " " if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp", "Zs") else character
        for character in _UNSEEN.sub("", text)
    )
    return " ".join("".join(shown).split())
