"""What was asked about one picture: how long it is, what belongs to it, and that a kept answer comes back whole."""

import numpy as np
import pytest

from inference.types import Detection, Result
from ui.thread import LONGEST, Kept, Thread


def kept(text: str, picture: str = "a.png") -> Kept:
    result = Result(task="describe", model="m", prompt="cap en", raw=text, text=text, width=4, height=3)
    return Kept.of(result, picture=picture, question="Describe", device="cpu")


def test_a_kept_result_comes_back_whole() -> None:
    mask = np.zeros((3, 4), dtype=bool)
    mask[1:, :2] = True
    things = (Detection("cat", (0, 1, 2, 3), 0.9, mask, codes=(1,) * 16), Detection("dog", (0, 0, 1, 1)))
    result = Result(
        task="segment", model="m", prompt="segment cat", raw="", text="", width=4, height=3, detections=things
    )
    back = Kept.of(result, picture="a.png", question="Outline: cat", device="cpu").result()
    assert back == result
    assert np.array_equal(back.detections[0].mask, mask)
    assert back.detections[1].mask is None


def test_a_thread_is_about_one_picture_and_shows_its_last_answer() -> None:
    thread = Thread().answered(kept("one")).answered(kept("two"))
    assert [entry.bare.text for entry in thread.entries] == ["one", "two"]
    assert thread.shown is thread.entries[1]
    assert thread.about("a.png").entries == thread.entries
    assert thread.about("a.png").shown is None
    assert thread.about("b.png") == Thread()
    assert [entry.bare.text for entry in thread.answered(kept("three", "b.png")).entries] == ["three"]


def test_the_oldest_answers_go_when_a_thread_grows_too_long() -> None:
    thread = Thread()
    for number in range(LONGEST + 3):
        thread = thread.answered(kept(str(number)))
    assert [entry.bare.text for entry in thread.entries] == [str(number) for number in range(3, LONGEST + 3)]
    assert thread.shown is thread.entries[-1]


@pytest.mark.parametrize("number", ["-1", "2", "x", "", None, "0x1", ["0"]])
def test_an_entry_that_is_not_there_changes_nothing(number: object) -> None:
    thread = Thread().answered(kept("one")).answered(kept("two"))
    assert thread.choose(number) == thread


def test_an_earlier_answer_can_be_chosen() -> None:
    thread = Thread().answered(kept("one")).answered(kept("two")).choose("0")
    assert thread.shown is thread.entries[0]
    assert len(thread.entries) == 2
