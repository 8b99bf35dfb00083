"""What whoever runs the app in public relies on: health, logins, limits, leaving, stopping, metrics, a discreet log."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from inference.batch import Batch, Chosen
from inference.engine import Engine
from inference.generation import Row
from inference.hosting import HostedModel, ModelStatus
from inference.pipeline import Pipeline
from inference.settings import Settings
from tests.support.serving import READY, StandInHost, StandInPipeline, free_port, serve
from tests.support.tiny import tiny_loaded, tiny_model, tiny_processor
from ui import service
from ui.page import build

ROOT = Path(__file__).resolve().parents[2]
HELD_APP = """
import os, sys, time
from inference.batch import Batch
step = Batch.step
def held(self):
    while os.path.exists(os.environ["HOLD"]):
        time.sleep(0.01)
    return step(self)
Batch.step = held
import app
sys.exit(app.main())
"""
"""The app, whose model writes nothing while there is a file of the name that HOLD has."""


class SlowBatch(Batch[Row]):
    """A batch whose steps begin when they may.

    Args:
        before: What a step waits for.
    """

    def __init__(self, model: object, processor: object, before: Callable[["SlowBatch"], None]) -> None:
        super().__init__(model, processor, slots=2)  # type: ignore[arg-type]
        self._before = before

    def step(self) -> list[Chosen]:
        self._before(self)
        return super().step()


class SlowHost:
    """Holds one slow model.

    Attributes:
        pause: Seconds that each step takes longer, as those of a big model do.
    """

    def __init__(self, *, queue_size: int = 8) -> None:
        processor = tiny_processor()
        model = tiny_model(processor)
        loaded = tiny_loaded(READY.name, model=model, processor=processor)
        self.engine = Engine(
            model, processor, queue_size=queue_size, make_batch=lambda: SlowBatch(model, processor, self._wait)
        )
        self.pause = 0.02
        self._held = False
        self._hosted = HostedModel(loaded, self.engine, None)  # type: ignore[arg-type]

    def statuses(self) -> tuple[ModelStatus, ...]:
        return (READY,)

    def get(self, name: str | None = None) -> HostedModel:
        return self._hosted

    @contextmanager
    def held(self) -> Iterator[None]:
        """No request ends meanwhile, however long those take that are to come beside it: steps only let others join."""
        line = self.engine._line
        self._held = True
        try:
            yield
        finally:
            with line.changed:
                self._held = False
                line.changed.notify_all()

    def _wait(self, batch: SlowBatch) -> None:
        threading.Event().wait(self.pause)
        line = self.engine._line
        with line.changed:
            line.changed.wait_for(lambda: not self._held or (batch.has_room and bool(line.waiting)))

    def wait_until(self, running: int, waiting: int = 0) -> None:
        line = self.engine._line
        with line.changed:
            assert line.changed.wait_for(lambda: (len(line.taken), len(line.waiting)) == (running, waiting), 30)


@pytest.fixture
def slow() -> Iterator[SlowHost]:
    host = SlowHost()
    yield host
    host.engine.close()


class Caller:
    """Someone who uses the API by plain HTTP.

    Args:
        url: Where the app is.
        picture: What to ask about.
    """

    def __init__(self, url: str, picture: Path) -> None:
        self.http = httpx.Client(base_url=f"{url}gradio_api/", timeout=60)
        with picture.open("rb") as file:
            [self._path] = self.http.post("upload", files={"files": file}).json()

    def begin(self, endpoint: str, *fields: object, session: str | None = None, address: str | None = None) -> str:
        image = {"path": self._path, "meta": {"_type": "gradio.FileData"}}
        body = {"data": [image, *fields]} | ({"session_hash": session} if session else {})
        headers = {"x-forwarded-for": address} if address else {}
        response = self.http.post(f"call/{endpoint}", json=body, headers=headers)
        return str(response.raise_for_status().json()["event_id"])

    @contextmanager
    def listening(self, endpoint: str, event: str) -> Iterator[httpx.Response]:
        with self.http.stream("GET", f"call/{endpoint}/{event}") as response:
            yield response

    def end(self, endpoint: str, event: str) -> tuple[str, object]:
        """How the event ended, and with what."""
        kind, data = "", "null"
        for line in self.http.get(f"call/{endpoint}/{event}").text.splitlines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind in ("complete", "error"):
                data = line.removeprefix("data: ")
        return kind, json.loads(data)


def prompt(words: str) -> tuple[str, bool, str]:
    return words, False, ""


def test_a_client_of_the_api_that_leaves_frees_its_slot_at_once(
    slow: SlowHost, picture: Path, record_property: Callable[[str, object], None]
) -> None:
    with serve(Pipeline(slow), slow) as url:  # type: ignore[arg-type]
        caller = Caller(url, picture)
        for attempt in range(3):
            event = caller.begin("prompt", *prompt(f"cap en {attempt}"))
            with caller.listening("prompt", event):
                slow.wait_until(running=1)
            left = time.perf_counter()
            slow.wait_until(running=0)
            took = time.perf_counter() - left
            record_property("slot_free_after_ms", round(took * 1000))
            assert took < 1.0, "128 tokens would take more than two seconds"


def test_one_that_leaves_while_it_waits_gives_up_its_place(slow: SlowHost, picture: Path) -> None:
    with serve(Pipeline(slow), slow) as url:  # type: ignore[arg-type]
        caller = Caller(url, picture)
        with slow.held():
            events = [caller.begin("prompt", *prompt(f"cap {number}")) for number in range(2)]
            slow.wait_until(running=2)
            waiting = caller.begin("prompt", *prompt("cap 3"))
            with caller.listening("prompt", waiting):
                slow.wait_until(running=2, waiting=1)
        slow.wait_until(running=2, waiting=0)
        slow.pause = 0.0
        assert [caller.end("prompt", event)[0] for event in events] == ["complete", "complete"]


def test_everything_comes_to_the_engines_queue_and_beyond_it_is_told_so(picture: Path) -> None:
    slow = SlowHost(queue_size=5)
    try:
        with serve(Pipeline(slow), slow, max_queue=5) as url:  # type: ignore[arg-type]
            caller = Caller(url, picture)
            with slow.held():
                events = [caller.begin("prompt", *prompt(f"cap {number}")) for number in range(2)]
                slow.wait_until(running=2)
                events += [caller.begin("prompt", *prompt(f"cap {number}")) for number in range(2, 7)]
                slow.wait_until(running=2, waiting=5)
                refused = caller.begin("prompt", *prompt("cap 8"))
                assert "5 requests are waiting already" in str(caller.end("prompt", refused))
            assert httpx.get(f"{url}gradio_api/info", timeout=10).status_code == 200
            slow.pause = 0.0
            assert caller.end("prompt", events[0])[0] == "complete"
            slow.engine.close()  # the others need not be waited for
            assert "shut down" in str(caller.end("prompt", events[-1]))
    finally:
        slow.engine.close()


def test_a_crowd_of_sessions_does_not_end_the_answer_of_one_who_came_before() -> None:
    page = build(StandInPipeline(), StandInHost(), Settings())  # type: ignore[arg-type]
    mail, waited_for = page._queue.pending_messages_per_session, page._queue.pending_event_ids_session
    mail["early"] = "messages"
    for number in range(3 * mail.max_size):
        waited_for[f"stranger {number}"] = set()
        mail[f"stranger {number}"] = "messages"
        assert mail["early"] == "messages"  # whoever is answered reads them all the while
    assert len(mail) == mail.max_size
    assert len(waited_for) < mail.max_size


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[str, StandInHost]]:
    """Where an app with a login is, and its host, whose models are as a test tells it."""
    host = StandInHost()
    with serve(StandInPipeline(), host, routes=service.routes(host), auth=("ann", "sécret")) as url:  # type: ignore[arg-type]
        yield url, host


@pytest.mark.parametrize(
    ("states", "code"),
    [
        pytest.param(("ready",), 200, id="ready"),
        pytest.param(("loading",), 503, id="loading"),
        pytest.param(("failed",), 503, id="failed"),
        pytest.param(("ready", "loading"), 200, id="one of two is ready"),
    ],
)
def test_readiness_follows_the_models_and_life_does_not(
    guarded: tuple[str, StandInHost], states: tuple[str, ...], code: int
) -> None:
    url, host = guarded
    host.states = tuple(ModelStatus(f"model {index}", state) for index, state in enumerate(states))  # type: ignore[arg-type]
    ready = httpx.get(f"{url}readyz")
    assert ready.status_code == code
    assert [model["state"] for model in ready.json()["models"]] == list(states)
    assert httpx.get(f"{url}healthz").json() == {"status": "alive"}
    assert httpx.get(f"{url}config").status_code == 401


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [
        pytest.param("ann", "sécret", 200, id="right"),
        pytest.param("ann", "secret", 400, id="wrong password"),
        pytest.param("bob", "sécret", 400, id="wrong name"),
        pytest.param("ann", "", 422, id="no password"),
        pytest.param("ann", "s" * 10000, 400, id="endless password"),
    ],
)
def test_a_login_must_be_right_in_both_parts(
    guarded: tuple[str, StandInHost], user: str, password: str, code: int
) -> None:
    url, _ = guarded
    assert httpx.post(f"{url}login", data={"username": user, "password": password}).status_code == code


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_told_to_stop_it_finishes_what_runs_refuses_the_rest_and_logs_no_words(picture: Path, tmp_path: Path) -> None:
    metrics, hold = free_port(), tmp_path / "hold"
    flags = ["--metrics", str(metrics), "--log-format", "json", "--trusted-proxy", "127.0.0.1"]
    with held_app(tmp_path, *flags, "--max-per-visitor", "1") as (process, url):
        caller = Caller(url, picture)
        uploads = tmp_path / "uploads"
        assert list(uploads.rglob(picture.name))
        secret = caller.begin("prompt", *prompt("answer en where is the quokka?"))
        assert caller.end("prompt", secret)[0] == "complete"

        # An address may have as many sessions as a family has devices, each with one request at once.
        hold.touch()
        medium = ("medium", "en", False, "")
        crowd = [caller.begin("describe", *medium, session=name, address="8.8.8.8") for name in "abcde"]
        other = caller.begin("prompt", *prompt("cap en"), session="f", address="8.8.4.4")
        _until(lambda: "paligemma_refused_total 1.0" in _metrics(metrics), process)
        hold.unlink()
        ends = [caller.end("describe", event) for event in crowd]
        assert sorted(kind for kind, _ in ends) == ["complete"] * 4 + ["error"]
        assert "At most 4 requests at once" in str(ends)
        assert caller.end("prompt", other)[0] == "complete"

        hold.touch()
        running = caller.begin("describe", "long", "en", False, "")
        _until(lambda: 'paligemma_running{model="demo"} 1.0' in _metrics(metrics), process)
        seen = _metrics(metrics)
        process.send_signal(signal.SIGTERM)
        _until(lambda: httpx.get(f"{url}readyz").status_code == 503, process)
        refused = caller.begin("describe", "short", "en", False, "")
        assert "shut down" in str(caller.end("describe", refused))
        hold.unlink()
        kind, answer = caller.end("describe", running)

        assert kind == "complete"
        assert answer[0]["text"]  # type: ignore[index]
        assert process.wait(60) == 0
        assert not any(path.is_file() for path in uploads.rglob("*"))
    assert 'paligemma_requests_total{cached="false",task="prompt"} 2.0' in seen
    assert "process_resident_memory_bytes" in seen
    log = (tmp_path / "log").read_text("utf-8")
    lines = log.splitlines()
    assert all(set(json.loads(line)) >= {"time", "level", "message"} for line in lines), lines
    assert any("prompt by demo" in json.loads(line)["message"] for line in lines)
    assert "quokka" not in log
    assert picture.name not in log


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_waits_no_longer_than_it_was_told_for_an_answer_and_for_the_end(picture: Path, tmp_path: Path) -> None:
    with held_app(tmp_path, "--deadline", "2", "--drain-seconds", "1") as (process, url):
        caller = Caller(url, picture)
        (tmp_path / "hold").touch()
        kind, message = caller.end("describe", caller.begin("describe", "long", "en", False, ""))
        assert kind == "error"
        assert "took too long" in str(message)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    log = (tmp_path / "log").read_text("utf-8")
    assert "may take 1 s more" in log
    assert "Stopping before everything was answered" in log


@contextmanager
def held_app(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The app in a process of its own, and where it is, ready to answer while there is no file "hold" in the folder.

    Its log is the file "log" there, its uploads lie in "uploads".
    """
    port = free_port()
    places = {"GRADIO_TEMP_DIR": str(folder / "uploads"), "HOLD": str(folder / "hold")}
    with (folder / "log").open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", HELD_APP, "--model", "demo", "--port", str(port), *flags],
            cwd=ROOT, env=os.environ | places | {"PYTHONUNBUFFERED": "1"}, stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        _until(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200, process)
        yield process, f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


def _metrics(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics").text


def _until(holds: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "the app ended"
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass  # it does not listen yet
        threading.Event().wait(0.02)
    raise AssertionError("it never came to pass")


# Delivery


def test_the_page_travels_packed_and_its_files_are_asked_for_once() -> None:
    with serve(StandInPipeline(), StandInHost()) as url:
        page = httpx.get(url, headers={"Accept-Encoding": "gzip"})
        assert page.headers["content-encoding"] == "gzip"
        assert page.num_bytes_downloaded < len(page.content) / 4
        assert httpx.get(url, headers={"Accept-Encoding": "identity"}).text.startswith("<!doctype html>")
        (script,) = re.findall(r'<script type="module"[^>]*src="\./(assets/[^"]+)"', page.text)
        assert "immutable" in httpx.get(url + script).headers["cache-control"]
        missing = httpx.get(f"{url}assets/index-12345678.js")
        assert (missing.status_code, missing.headers.get("cache-control")) == (404, None)


def test_a_model_that_cannot_load_leaves_the_page_up_with_the_reason() -> None:
    host = StandInHost((ModelStatus("big", "failed", detail="Accept the licence on <the hub>."),))
    with serve(StandInPipeline(), host) as url:
        assert httpx.get(url).status_code == 200
        parts = httpx.get(f"{url}config").json()["components"]
        (banner,) = (part["props"]["value"] for part in parts if part["props"].get("elem_id") == "banner")
    assert 'role="alert"' in banner
    assert "Accept the licence on &lt;the hub&gt;." in banner
