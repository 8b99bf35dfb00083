"""Who goes first, and what those in line are told."""

import queue
import time

import pytest
import torch

from inference.batch import Chosen
from inference.errors import Busy, Cancelled, DeadlineExceeded, ModelUnavailable
from inference.generation import Queued, Row
from inference.queueing import AHEAD, Line, fair_order


def row(client: str = "", *, deadline: float = 60.0, tokens: int = 1, before: float = 0.0) -> Row:
    return Row(
        input_ids=torch.zeros(1, 1, dtype=torch.long),
        pixel_values=torch.zeros(1),
        pixels_key=b"",
        key=b"",
        max_new_tokens=tokens,
        deadline=time.perf_counter() + deadline,
        ignore_eos=False,
        client=client,
        submitted=time.perf_counter() - before,
    )


def told(waiting: Row) -> list[object]:
    events = []
    while True:
        try:
            events.append(waiting.events.get_nowait())
        except queue.Empty:
            return events


@pytest.mark.parametrize(
    ("waiting", "taken", "order"),
    [
        pytest.param("abc", "", [0, 1, 2], id="one each: as they came"),
        pytest.param("aaab", "", [0, 3, 1, 2], id="a crowd of one lets another in after its first"),
        pytest.param("aab", "a", [2, 0, 1], id="what runs counts as before"),
        pytest.param("aabb", "", [0, 2, 1, 3], id="two crowds take turns"),
        pytest.param("", "ab", [], id="nobody waits"),
    ],
)
def test_each_client_has_its_turn(waiting: str, taken: str, order: list[int]) -> None:
    rows = [row(name) for name in waiting]
    assert [rows.index(one) for one in fair_order(rows, [row(name) for name in taken])] == order


def test_sessions_of_one_address_share_its_turns() -> None:
    crowd = [row(f"1.2.3.4/{session}") for session in "abcd"]
    other = row("5.6.7.8/x")
    assert fair_order([*crowd, other], []) == [crowd[0], other, *crowd[1:]]


def test_within_an_address_each_session_has_its_turn() -> None:
    greedy = [row("1.2.3.4/a") for _ in range(3)]
    modest = row("1.2.3.4/b")
    assert fair_order([*greedy, modest], []) == [greedy[0], modest, *greedy[1:]]


def test_what_can_only_be_short_goes_before_what_may_be_long_and_came_just_before():
    long, short = row("a", tokens=256, before=0.5), row("b", tokens=3)
    assert fair_order([long, short], []) == [short, long]


def test_nothing_long_is_overtaken_for_ever():
    long, short = row("a", tokens=256, before=5.0), row("b", tokens=3)
    assert fair_order([long, short], []) == [long, short]


def test_pictures_are_looked_at_in_the_order_of_the_line_and_only_so_many():
    line = Line(size=8, slots=8)
    rows = [row(name) for name in "abcdef"]
    for one in rows:
        line.join(one)
    looked_at = []
    while (next_one := line.unseen()) is not None:
        looked_at.append(next_one)
        line.saw(next_one)
    assert looked_at == rows[:AHEAD]
    assert [line.take(seen=True) for _ in range(AHEAD + 1)] == [*rows[:AHEAD], None]
    assert line.unseen() is rows[AHEAD]
    assert line.take() is rows[AHEAD]


def test_whoever_waits_is_told_each_new_place_once_and_how_long_it_will_be() -> None:
    line = Line(size=8, slots=1)
    first, second, third = row("a"), row("b"), row("c")
    for one in (first, second, third):
        line.join(one)
    assert told(third) == [Queued(2, None)]

    taken = line.take()
    assert taken is first
    assert [event.ahead for event in told(third)] == [1]
    first.started = time.perf_counter() - 4.0
    first.add(Chosen(1, 1.0, 1.0))
    line.done(first)
    assert line.take() is second

    [place] = told(third)
    assert place.ahead == 0
    assert place.seconds == pytest.approx(4.0, abs=0.5)


def test_a_full_line_says_how_many_wait() -> None:
    line = Line(size=2, slots=1)
    line.join(row())
    line.join(row())
    with pytest.raises(Busy, match="2 requests are waiting"):
        line.join(row())


def test_those_who_gave_up_or_waited_too_long_leave_the_line_and_the_others_move_up() -> None:
    line = Line(size=8, slots=1)
    gone, late, staying = row("a"), row("b", deadline=-1.0), row("c")
    for one in (gone, late, staying):
        line.join(one)
    gone.cancelled.set()

    line.sweep()

    assert line.waiting == [staying]
    assert isinstance(told(gone)[-1], Cancelled)
    assert isinstance(told(late)[-1], DeadlineExceeded)
    assert told(staying)[-1] == Queued(0, 0.0)


def test_a_closed_line_tells_those_in_it_and_those_who_come() -> None:
    line = Line(size=8, slots=1)
    waiting = row()
    line.join(waiting)
    line.close(ModelUnavailable("Closed."))
    assert str(told(waiting)[-1]) == "Closed."
    with pytest.raises(ModelUnavailable, match="Closed"):
        line.join(row())


def test_waiting_for_the_end_says_whether_it_came() -> None:
    line = Line(size=8, slots=1)
    line.join(row())
    taken = line.take()
    assert taken is not None
    assert not line.wait_until_empty(0.01)
    line.done(taken)
    assert line.wait_until_empty(0.01)
