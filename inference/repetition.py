"""Noticing that a model says the same again and again, as one does that is lost. Knows tokens, no text."""

from collections.abc import Sequence

_LONGEST_PERIOD = 16
_LEAST_TIMES = 6
_LEAST_TOKENS = 24
"""Sixteen equal mask codes are a mask, and a table may have several rows alike."""


def before_repeats(ids: Sequence[int]) -> int | None:
    """Looks for one group of tokens that fills the whole end of an output.

    Args:
        ids: The output so far.

    Returns:
        How many tokens stand before its second time, or None if nothing was said often enough to be stopped.
    """
    for period in range(1, _LONGEST_PERIOD + 1):
        start = len(ids)
        while start > period and ids[start - 1] == ids[start - 1 - period]:
            start -= 1
        if len(ids) - start + period >= max(_LEAST_TIMES * period, _LEAST_TOKENS) and start < len(ids):
            return start
    return None
