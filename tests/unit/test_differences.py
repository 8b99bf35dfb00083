"""Where two answers differ, word by word and thing by thing."""

import pytest

from inference.differences import compare_things, compare_words
from inference.types import Box, Detection


@pytest.mark.parametrize(
    ("left", "right", "left_marked", "right_marked", "count"),
    [
        pytest.param("two red boats", "two red boats", [], [], 0, id="the same"),
        pytest.param("two red boats", "two blue boats", ["red"], ["blue"], 1, id="one word"),
        pytest.param("a red star here", "a blue moon here", ["red star"], ["blue moon"], 1, id="words side by side"),
        pytest.param("two boats", "two boats.", [], ["."], 1, id="a mark at the end"),
        pytest.param("", "two boats", [], ["two boats"], 1, id="nothing on the left"),
        pytest.param("", "", [], [], 0, id="nothing at all"),
        pytest.param("两只红船", "两只蓝船", ["红"], ["蓝"], 1, id="a script without spaces"),
        pytest.param("un niño", "un nino", ["niño"], ["nino"], 1, id="an accent"),
        pytest.param("<b>a</b>", "<i>a</i>", ["b", "b"], ["i", "i"], 2, id="markup is text"),
    ],
)
def test_words_that_are_not_in_both_are_marked(
    left: str, right: str, left_marked: list[str], right_marked: list[str], count: int
) -> None:
    compared = compare_words(left, right)
    assert [piece.text for piece in compared.left if piece.differs] == left_marked
    assert [piece.text for piece in compared.right if piece.differs] == right_marked
    assert "".join(piece.text for piece in compared.left) == left
    assert "".join(piece.text for piece in compared.right) == right
    assert compared.count == count


def test_a_long_text_has_no_words_that_count_as_noise() -> None:
    left = "the boat " * 200
    assert compare_words(left, left.replace("boat", "cup", 1)).count == 1


def things(*named: tuple[str, Box]) -> list[Detection]:
    return [Detection(label, box) for label, box in named]


NEAR, FAR = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0)


@pytest.mark.parametrize(
    ("left", "right", "kinds"),
    [
        pytest.param([("cup", NEAR)], [("cup", NEAR)], ["same"], id="the same"),
        pytest.param([("Cup", NEAR)], [("cup", NEAR)], ["same"], id="capitals do not matter"),
        pytest.param([("cup", NEAR)], [("cup", (4.0, 0.0, 14.0, 10.0))], ["moved"], id="moved"),
        pytest.param([("cup", NEAR)], [("cup", FAR)], ["only_left", "only_right"], id="too far to be the same"),
        pytest.param([("cup", NEAR)], [("key", NEAR)], ["renamed"], id="another name in the same place"),
        pytest.param([("cup", NEAR)], [("key", (4.0, 0.0, 14.0, 10.0))], ["only_left", "only_right"], id="neither"),
        pytest.param([], [("cup", NEAR)], ["only_right"], id="nothing on the left"),
        pytest.param([], [], [], id="nothing at all"),
        pytest.param(
            [("key", NEAR), ("cup", NEAR)], [("cup", NEAR)], ["only_left", "same"], id="the name decides between two"
        ),
        pytest.param(
            [("cup", (3.0, 0.0, 13.0, 10.0)), ("cup", NEAR)], [("cup", NEAR)], ["only_left", "same"],
            id="the closest pair goes first",
        ),
        pytest.param([("cup", (5.0, 5.0, 5.0, 9.0))], [("cup", (5.0, 5.0, 5.0, 9.0))], ["only_left", "only_right"],
                     id="boxes without area"),
    ],
)  # fmt: skip
def test_things_are_paired(left: list[tuple[str, Box]], right: list[tuple[str, Box]], kinds: list[str]) -> None:
    pairs = compare_things(things(*left), things(*right))
    assert [pair.kind for pair in pairs] == kinds
    assert [pair.left for pair in pairs if pair.left] == things(*left)
    assert sorted(pair.right.label for pair in pairs if pair.right) == sorted(label for label, _ in right)


def test_sides_can_be_swapped() -> None:
    left = things(("cup", NEAR), ("key", FAR))
    right = things(("key", FAR), ("star", NEAR))
    mirrored = {"same": "same", "renamed": "renamed", "only_left": "only_right", "only_right": "only_left"}
    there = sorted(mirrored[pair.kind] for pair in compare_things(left, right))
    assert there == sorted(pair.kind for pair in compare_things(right, left))
