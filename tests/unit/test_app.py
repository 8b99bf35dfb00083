"""How the app finds its place: this machine, or a Space."""

import socket
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("flag", ["--port", "--metrics"])
def test_a_port_that_another_program_has_is_named_with_the_flag_for_another(flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "app.py", "--model", "demo", "--device", "cpu", flag, port]
        ended = subprocess.run(
            command, cwd=Path(app.__file__).parent, capture_output=True, text=True, timeout=120, check=False
        )
    assert ended.returncode == 1
    (said,) = [line for line in ended.stderr.splitlines() if "ERROR" in line]
    assert f"Port {port} of 127.0.0.1 is in use" in said
    assert said.endswith(f"choose another by {flag}.")
    assert "Traceback" not in ended.stderr
