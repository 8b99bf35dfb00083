"""How the app finds its place: this machine, or a Space."""

import pytest

import app
from inference.settings import Settings


def test_only_this_machine_is_served_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert app.for_this_place(Settings()).host == "127.0.0.1"


def test_a_space_serves_every_address_and_opens_no_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/something")
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    settings = app.for_this_place(Settings(share=True))
    assert (settings.host, settings.share, settings.port) == ("0.0.0.0", False, 7860)


def test_a_space_keeps_the_address_that_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/something")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "10.0.0.1")
    assert app.for_this_place(Settings()).host == "10.0.0.1"
    assert app.for_this_place(Settings(host="10.0.0.2")).host == "10.0.0.2"
