"""How the app finds its place: this machine, or a Space; and what it says of it."""

import http.server
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import app
from inference.errors import InvalidInput
from inference.metrics import Metrics
from inference.settings import Settings, parse_settings
from tests.support.serving import StandInHost

ROOT = Path(__file__).parents[2]


def test_only_this_machine_is_served_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert app.for_this_place(Settings()).host == "127.0.0.1"


def test_a_space_serves_every_address_and_opens_no_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/something")
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    settings = app.for_this_place(Settings(share=True))
    assert (settings.host, settings.share, settings.port) == ("0.0.0.0", False, 7860)


@pytest.mark.parametrize(("variable", "served"), [("", True), ("1", True), ("0", False)])
def test_a_space_serves_tools_as_its_tags_say_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, variable: str, served: bool
) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/something")
    monkeypatch.setenv("PALIGEMMA_MCP", variable)
    assert "  - mcp-server\n" in (ROOT / "README.md").read_text("utf-8")
    assert app.for_this_place(parse_settings([])).mcp is served


def test_a_space_keeps_the_address_that_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/something")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "10.0.0.1")
    assert app.for_this_place(Settings()).host == "10.0.0.1"
    assert app.for_this_place(Settings(host="10.0.0.2")).host == "10.0.0.2"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_port_that_another_program_has_is_named_with_the_flag_for_another(taken: int) -> None:
    command = [sys.executable, "app.py", "--model", "demo", "--device", "cpu", "--port", str(taken)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    (said,) = [line for line in ended.stderr.splitlines() if "ERROR" in line]
    assert f"Port {taken} of 127.0.0.1 is in use" in said
    assert said.endswith("choose another by --port.")
    assert "Traceback" not in ended.stderr


def test_so_is_the_port_of_the_metrics(taken: int) -> None:
    # What such an error does to the process is the same for both; to start another takes many seconds.
    metrics = Metrics(StandInHost(), refused=lambda: 0)  # type: ignore[arg-type]
    with (
        pytest.raises(InvalidInput, match=rf"^Port {taken} of 127\.0\.0\.1 is in use.*choose another by --metrics\.$"),
        app.serving(metrics, ("127.0.0.1", taken)),
    ):
        pass


@pytest.mark.parametrize("address", ["203.0.113.1", "2001:db8::1", "nowhere.invalid"])
def test_an_address_of_another_machine_is_named_with_the_flag_for_another(address: str) -> None:
    metrics = Metrics(StandInHost(), refused=lambda: 0)  # type: ignore[arg-type]
    with (
        pytest.raises(InvalidInput, match=rf"^This machine has no address {re.escape(address)} .* by --metrics\.$"),
        app.serving(metrics, (address, 9)),
    ):
        pass


class Launched:
    """A page that was launched, and has a public address if that was asked for."""

    tools = None

    def launch(self, *, share: bool, **_: object) -> tuple[None, str, str | None]:
        return None, "http://127.0.0.1:7860", "https://x.gradio.live" if share else None


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        pytest.param({}, False, id="for this machine"),
        pytest.param({"share": True}, True, id="for everyone"),
        pytest.param({"share": True, "auth": ("ann", "secret")}, False, id="for those who have the password"),
    ],
)
def test_a_public_link_without_a_login_is_warned_of(
    settings: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        app.launch(Launched(), StandInHost(), Settings(**settings))  # type: ignore[arg-type]
    assert ("--auth USER:PASSWORD" in caplog.text) is warned
    assert ("https://x.gradio.live" in caplog.text) is bool(settings)


def test_the_server_writes_its_lines_as_the_app_does(caplog: pytest.LogCaptureFixture) -> None:
    class WithServer(Launched):
        def launch(self, *, share: bool, **options: object) -> tuple[None, str, str | None]:
            uvicorn.Config(app=None, log_level="warning")  # as gradio does; it sets up handlers  # type: ignore[arg-type]
            return super().launch(share=share, **options)

    app.launch(WithServer(), StandInHost(), Settings())  # type: ignore[arg-type]
    logging.getLogger("uvicorn.error").error("a request failed")
    assert "a request failed" in caplog.text
    assert logging.getLogger("uvicorn").handlers == []


def test_a_space_has_the_gradio_that_is_pinned() -> None:
    [of_space] = re.findall(r"^sdk_version: (.+)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert re.search(
        rf"^gradio.*=={re.escape(of_space)}$", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE
    )


class Alive(http.server.BaseHTTPRequestHandler):
    """Says that it lives, and only that."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_container_is_asked_for_its_health_on_its_own_port_and_past_any_proxy() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    found = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", dockerfile, re.MULTILINE)
    assert found
    _, *arguments = json.loads(found[1])
    with http.server.HTTPServer(("127.0.0.1", 0), Alive) as server, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        health = [
            subprocess.run(
                [sys.executable, *arguments],
                env=os.environ | {"HTTP_PROXY": proxy, "http_proxy": proxy, "PALIGEMMA_PORT": str(port)},
                capture_output=True,
            ).returncode
            for port in (server.server_port, nobody.getsockname()[1])
        ]
        server.shutdown()
    assert health[0] == 0
    assert health[1] != 0
