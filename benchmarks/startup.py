"""How long the app takes from the start of its process to a served page, to a model that can answer, and to an answer.

    python -m benchmarks.startup --model demo --runs 3

Starts the real app on a free port, again and again. Memory is that of the process and its children, looked at often
enough to see its peak. Prints a table, then one JSON line.
"""

import argparse
import asyncio
import io
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.app_process import App, AppFailed, started
from benchmarks.measuring import last_line, machine, picture, spread, table
from benchmarks.page_client import TIMEOUT, Session, file, functions
from inference.checkpoints import pick_device
from inference.errors import UserError
from inference.settings import device_name

STAGES = ("served_s", "ready_s", "answered_s", "ready_gb", "peak_gb")


@dataclass(slots=True)
class Peak:
    """The most memory that was seen, in bytes."""

    bytes: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the command line asks for, prints it, and gives the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.startup", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="as app.py takes it (default: demo)")
    parser.add_argument("--device", type=device_name, default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantize", default="none")
    parser.add_argument("--runs", type=int, default=3, help="starts that count (default: 3)")
    parser.add_argument("--no-warm-up", action="store_true", help="count the first start, which reads the disk")
    options = parser.parse_args(arguments)
    flags = [f"--{name}={getattr(options, name)}" for name in ("model", "device", "dtype", "quantize")]
    starts = []
    try:
        device = pick_device(options.device)
        if not options.no_warm_up:
            start(flags)
        for run in range(options.runs):
            print(f"start {run + 1} of {options.runs}", file=sys.stderr, flush=True)
            starts.append(start(flags))
    except (AppFailed, UserError) as error:
        parser.exit(1, f"{error}\n")
    stages: dict[str, Any] = {stage: spread((each[stage] for each in starts), digits=3) for stage in STAGES}
    print(f"{options.model}, {options.runs} starts\n")
    table(
        ("from the start of the process", "median", "least", "most"),
        [(stage, *(figures[part] for part in ("median", "least", "most"))) for stage, figures in stages.items()],
    )
    last_line({"benchmark": "startup", "machine": machine(device), "model": options.model, "flags": flags} | stages)
    return 0


def start(flags: Sequence[str]) -> dict[str, float]:
    """Starts the app once, has it answer once, and stops it."""
    with started(flags) as app, watched(app) as peak:
        served = app.wait_until_served()
        ready = app.wait_until_ready()
        at_ready = app.memory()
        asyncio.run(answer(app.url))
        answered = time.perf_counter() - app.begun
    return {
        "served_s": served, "ready_s": ready, "answered_s": answered, "ready_gb": at_ready / 1e9,
        "peak_gb": max(peak.bytes, at_ready) / 1e9,
    }  # fmt: skip


@contextmanager
def watched(app: App) -> Iterator[Peak]:
    """Looks at the app's memory twenty times a second."""
    peak = Peak()

    def watch() -> None:
        while not peak.ended.wait(0.05):
            peak.bytes = max(peak.bytes, app.memory())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        peak.ended.set()
        thread.join()


async def answer(url: str) -> None:
    """Has the app find something in a picture, which needs all of its parts.

    Raises:
        AppFailed: It gave no answer.
    """
    packed = io.BytesIO()
    picture(1).save(packed, "PNG")
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as http:
        session = Session(http, functions(url))
        uploaded = await session.upload(packed.getvalue(), "picture.png")
        if uploaded.output is None:
            raise AppFailed(f"the picture was refused: {uploaded.message}")
        reply = await session.ask("detect", [file(uploaded.output[0]), "star", False, "en", ""])
    if reply is None or reply.output is None:
        raise AppFailed(f"there was no answer: {reply and reply.message}")


if __name__ == "__main__":
    sys.exit(main())
