"""Who goes first, and what those in line are told."""

import queue
import time

import pytest
import torch

from inference.batch import Chosen
from inference.errors import Busy, Cancelled, DeadlineExceeded, ModelUnavailable
from inference.generation import Queued, Row
from inference.queueing import Line, fair_order


def row(client: str = "", *, deadline: float = 60.0) -> Row:
    return Row(
        input_ids=torch.zeros(1, 1, dtype=torch.long),
        pixel_values=torch.zeros(1),
        pixels_key=b"",
        key=b"",
        max_new_tokens=1,
        deadline=time.perf_counter() + deadline,
        ignore_eos=False,
        client=client,
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
