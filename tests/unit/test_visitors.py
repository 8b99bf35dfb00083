"""How many requests a visitor may have at once, and who counts as one visitor."""

from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from inference.errors import Busy
from inference.types import Request, Result
from tests.support.serving import thing
from tests.support.stand_ins import stand_in_context
from ui.answers import Answers
from ui.thread import Kept, Thread
from ui.turns import Turns
from ui.visitors import SESSIONS_AN_ADDRESS, Visitors, network_of


def visitor(session: str | None, host: str = "127.0.0.1") -> gr.Request:
    request: Any = gr.Request(session_hash=session, headers={})
    request.kwargs["client"] = {"host": host, "port": 1}
    return request


def test_a_session_has_a_limit_and_the_message_says_it() -> None:
    visitors = Visitors(at_once=2)
    with visitors.admit(visitor("a")), visitors.admit(visitor("a")):
        with pytest.raises(Busy, match="At most 2 requests at once"), visitors.admit(visitor("a")):
            pass
        with visitors.admit(visitor("b")):
            pass
    assert visitors.refused == 1
    with visitors.admit(visitor("a")), visitors.admit(visitor("a")):
        pass


def test_a_request_that_fails_gives_its_place_back() -> None:
    visitors = Visitors(at_once=1)
    with pytest.raises(ValueError), visitors.admit(visitor("a")):  # noqa: PT011 - the test's own
        raise ValueError
    with visitors.admit(visitor("a")):
        pass


@pytest.mark.parametrize(
    ("host", "limited"),
    [
        pytest.param("8.8.8.8", True, id="an address of the internet"),
        pytest.param("2a00:1450:4001::1", True, id="one of IPv6"),
        pytest.param("127.0.0.1", False, id="this machine, perhaps a tunnel's end"),
        pytest.param("10.1.2.3", False, id="a private address, perhaps a proxy's"),
        pytest.param("", False, id="unknown"),
    ],
)
def test_new_sessions_do_not_help_one_address_of_the_internet(host: str, limited: bool) -> None:
    visitors = Visitors(at_once=2)
    with ExitStack() as inside:
        for number in range(2 * SESSIONS_AN_ADDRESS):
            inside.enter_context(visitors.admit(visitor(f"session {number}", host)))
        if limited:
            with pytest.raises(Busy, match="At most 8"):
                inside.enter_context(visitors.admit(visitor("one more", host)))
            inside.enter_context(visitors.admit(visitor("elsewhere", "1.1.1.1")))
        else:
            inside.enter_context(visitors.admit(visitor("one more", host)))


@pytest.mark.parametrize(
    ("host", "network"),
    [
        pytest.param("8.8.8.8", "8.8.8.8/32", id="IPv4"),
        pytest.param("::ffff:8.8.8.8", "8.8.8.8/32", id="IPv4 written as IPv6"),
        pytest.param("2a00:1450:4001:800::1", "2a00:1450:4001:800::/64", id="IPv6 of a household"),
        pytest.param("2a00:1450:4001:800:1:2:3:4", "2a00:1450:4001:800::/64", id="another of the same"),
        pytest.param("fe80::1%eth0", "", id="link-local"),
        pytest.param("not an address", "", id="nonsense"),
    ],
)
def test_an_address_counts_by_its_network(host: str, network: str) -> None:
    assert network_of(host) == network


def test_a_visit_names_its_client_from_wide_to_narrow_and_knows_whether_it_left() -> None:
    asked = Request(Image.new("RGB", (8, 8)), "describe")
    with Visitors().admit(visitor("a/b", "8.8.8.8")) as visit:
        assert visit.asking(asked).client == "8.8.8.8-32/ab"
        assert not visit.left()
    with Visitors().admit(SimpleNamespace()) as visit:  # type: ignore[arg-type]
        assert visit.client == ""


def test_drawing_anew_counts_too() -> None:
    context = stand_in_context()
    kept = Kept(
        "a.png", "", "", Result("detect", "", "", "", "", 4, 3, detections=(thing("cat", (0, 0, 1, 1), 1),)), ()
    )
    controls = {"threshold": 0, "opacity": 50, "parts": "both", "labels": "en"}
    someone = visitor("a")
    for draw in (Answers(context, Turns()).redraw, partial(Answers(context, Turns()).restore, gr.EventData(None, {}))):
        with (
            context.visitors.admit(someone),
            pytest.raises(gr.Error, match="At most 1 requests at once"),
        ):
            draw(someone, thread=Thread().answered(kept), **controls)
