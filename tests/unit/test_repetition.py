"""When an output counts as saying the same again and again."""

import pytest

from inference.repetition import before_repeats

BOX = [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([7], None, id="a token"),
        pytest.param([7] * 23, None, id="one often, as in a row of dots"),
        pytest.param([7] * 24, 1, id="one without end"),
        pytest.param([5, 6] + [7] * 60, 3, id="one without end after others"),
        pytest.param([5, *[7, 8] * 12], 3, id="two in turn"),
        pytest.param([5, *[7, 8] * 12, 7], 3, id="two in turn, cut in the middle"),
        pytest.param([*BOX, 9, 9] * 5, None, id="five equal objects"),
        pytest.param([*BOX, 9, 9] * 6, 6, id="six equal objects"),
        pytest.param([*BOX, *[0] * 16, 9], None, id="a mask of equal codes"),
        pytest.param([7] * 40 + [8], None, id="one that has ended"),
        pytest.param(list(range(20)) * 6, None, id="a verse of a song"),
    ],
)
def test_only_what_fills_the_end_many_times_counts(ids: list[int], expected: int | None):
    assert before_repeats(ids) == expected
