"""Sentences for people: English strings that still know what they were made from, so that a page can translate them.

Knows nothing of languages: a translation of a template is looked up by whoever shows it.
"""

import math


class Sentence(str):
    """An English sentence, made from a template and what is filled into it.

    It is a string like any other to whoever prints, sends or compares it. Whoever shows it to a reader of another
    language looks up the template and fills in the same fields, which may be sentences themselves.

    Args:
        template: As for `str.format`, with named fields only.
        fields: What is filled in.

    Example:
        >>> told = Sentence("At most {count} pictures are allowed.", count=8)
        >>> told
        'At most 8 pictures are allowed.'
        >>> told.template
        'At most {count} pictures are allowed.'
    """

    template: str
    fields: dict[str, object]

    def __new__(cls, template: str, /, **fields: object) -> "Sentence":
        """Fills in the fields; a template without any is taken as it is."""
        sentence = super().__new__(cls, template.format(**fields) if fields else template)
        sentence.template = template
        sentence.fields = fields
        return sentence

    @classmethod
    def of(cls, first: str, *others: str) -> "Sentence":
        """Several sentences as one: joined as strings, they would forget what they were made from."""
        joined = first if isinstance(first, Sentence) else cls("{it}", it=first)
        for other in others:
            joined = cls("{first} {then}", first=joined, then=other)
        return joined

    def __reduce__(self) -> tuple[object, ...]:
        return _remake, (self.template, self.fields)


def rounded_up(value: float) -> str:
    """A measure to one decimal, upwards, so that one just above a limit never reads like the limit."""
    return f"{math.ceil(value * 10) / 10:,.1f}"


def _remake(template: str, fields: dict[str, object]) -> Sentence:
    return Sentence(template, **fields)
