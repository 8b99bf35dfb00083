"""The real app as a process of its own on a free port, and what it holds in memory.

Knows how the app is started and stopped. Knows nothing of what is asked of it.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import psutil

REPOSITORY = Path(__file__).resolve().parents[1]


class AppFailed(Exception):
    """The app ended, or did not come up in time; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class App:
    """A started app.

    Attributes:
        url: Where its page is, or will be.
        process: What was started.
        begun: When, on the clock of `time.perf_counter`.
        log: What it wrote.
    """

    url: str
    process: subprocess.Popen[bytes]
    begun: float
    log: Path

    def wait_until_served(self, *, timeout: float = 600.0) -> float:
        """Waits for the page; gives the seconds since the start."""
        self._wait(lambda: httpx.get(self.url, timeout=5).status_code == 200, timeout=timeout)
        return time.perf_counter() - self.begun

    def wait_until_ready(self, *, timeout: float = 600.0) -> float:
        """Waits until a model can answer; gives the seconds since the start."""
        self._wait(lambda: httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200, timeout=timeout)
        return time.perf_counter() - self.begun

    def memory(self) -> int:
        """Bytes that the process and its children have in memory now."""
        total = 0
        try:
            root = psutil.Process(self.process.pid)
            for process in (root, *root.children(recursive=True)):
                total += process.memory_info().rss
        except psutil.NoSuchProcess:
            pass
        return total

    def end_of_log(self, lines: int = 20) -> str:
        """The last lines that the app wrote."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _wait(self, is_so: Callable[[], bool], *, timeout: float) -> None:
        until = time.perf_counter() + timeout
        while time.perf_counter() < until:
            if self.process.poll() is not None:
                raise AppFailed(f"the app ended with {self.process.returncode}:\n{self.end_of_log()}")
            try:
                if is_so():
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.02)
        raise AppFailed(f"the app was not there after {timeout:.0f} s:\n{self.end_of_log()}")


@contextmanager
def started(arguments: Sequence[str]) -> Iterator[App]:
    """Starts the app with these flags on a free port, with its uploads in a folder of its own; stops it at the end.

    Args:
        arguments: Of `app.py`, without the port.
    """
    with tempfile.TemporaryDirectory(prefix="app-") as folder:
        log = Path(folder) / "log.txt"
        port = _free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PALIGEMMA_")}
        with log.open("wb") as output, _ended_by_signals():
            begun = time.perf_counter()
            process = _popen([*arguments, "--port", str(port)], environment | {"GRADIO_TEMP_DIR": folder}, output)
            try:
                yield App(f"http://127.0.0.1:{port}", process, begun, log)
            finally:
                _stop(process)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Lets SIGTERM end this program as an exception does, so that the app does not outlive it."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _popen(arguments: Sequence[str], environment: dict[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "app.py", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
