"""What the page and HTTP add to an engine's answer, and what many users get through them.

    python -m benchmarks.serving --model demo --requests 15 --users 8

Starts the real app as a process of its own. First one visitor asks by plain HTTP, with each picture uploaded before,
so that the parts can be told apart; then by gradio_client, which uploads, asks and fetches the drawn picture in one
call; then N of these at once with the mix of `benchmarks.throughput`. What is added is the time outside minus the
`total` that the answer itself names. Pictures are drawn scenes, each asked about once, so that no answer was kept from
before. Prints tables, then one JSON line.
"""

import argparse
import asyncio
import io
import itertools
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from gradio_client import Client, handle_file

from benchmarks.app_process import AppFailed, started
from benchmarks.measuring import last_line, machine, quantile, spread, table
from benchmarks.page_client import TIMEOUT, Session, file, functions
from inference.checkpoints import pick_device
from inference.errors import UserError
from inference.settings import device_name
from training.scenes import draw, held_out_seed

CALLS: Mapping[str, Sequence[Any]] = MappingProxyType(
    {
        "answer": ("How many things are there?", "en", False, "en", ""),
        "detect": ("star ; heart", False, "en", ""),
        "describe": ("long", "en", False, ""),
        "segment": ("star ; heart", False, "en", ""),
    }
)
"""Endpoint -> its inputs after the picture. The first three are the mix."""

MIX = ("answer", "detect", "describe")
RAISED = ("--max-queue=256", "--max-per-visitor=64")
"""Limits of the app that are not what is measured here."""


@dataclass(frozen=True, slots=True)
class Served:
    """One answer through the page.

    Attributes:
        task: The endpoint.
        seconds: Seen by the client.
        engine: Of these, what the answer itself says it took.
        tokens: That were written.
        upload: Seconds for the picture, where that was a call of its own.
        joined: Seconds until the queue had taken the question, likewise.
    """

    task: str
    seconds: float
    engine: float
    tokens: int
    upload: float = 0.0
    joined: float = 0.0

    @property
    def added(self) -> float:
        """What came on top of the engine's time."""
        return self.seconds - self.engine


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the command line asks for, prints it, and gives the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="as app.py takes it (default: demo)")
    parser.add_argument("--device", type=device_name, default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantize", default="none")
    parser.add_argument("--requests", type=int, default=15, help="for each task, alone (default: 15)")
    parser.add_argument("--users", type=int, default=8, help="that ask at once (default: 8)")
    parser.add_argument("--rounds", type=int, default=6, help="requests of each of them (default: 6)")
    options = parser.parse_args(arguments)
    if min(options.requests, options.users, options.rounds) < 1:
        parser.error("--requests, --users and --rounds are at least 1")
    flags = [f"--{name}={getattr(options, name)}" for name in ("model", "device", "dtype", "quantize")]
    try:
        device = pick_device(options.device)
        with started([*flags, *RAISED]) as app, tempfile.TemporaryDirectory() as folder:
            app.wait_until_served()
            app.wait_until_ready()
            figures = measure(app.url, options, Path(folder))
    except (AppFailed, UserError) as error:
        parser.exit(1, f"{error}\n")
    show(figures, options)
    last_line(
        {"benchmark": "serving", "machine": machine(device), "model": options.model, "users": options.users,
         "requests": options.requests, "rounds": options.rounds} | figures
    )  # fmt: skip
    return 0


def measure(url: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured, as plain values."""
    scenes = itertools.count(1)
    asyncio.run(by_http(url, 2, scenes))  # warm-up
    print("one visitor, plain HTTP", file=sys.stderr, flush=True)
    plain = asyncio.run(by_http(url, options.requests, scenes))
    print("one visitor, gradio_client", file=sys.stderr, flush=True)
    turns = [name for _ in range(options.requests) for name in CALLS]
    [one] = by_gradio(url, [turns], scenes, folder)[0]
    print(f"{options.users} visitors, gradio_client", file=sys.stderr, flush=True)
    plans = [[MIX[(user + turn) % 3] for turn in range(options.rounds)] for user in range(options.users)]
    many, seconds = by_gradio(url, plans, scenes, folder)
    everyone = list(itertools.chain.from_iterable(many))
    return {
        "http": {name: _parts([each for each in plain if each.task == name]) for name in CALLS},
        "added_ms": spread((1000 * each.added for each in plain), digits=2),
        "upload_ms": spread((1000 * each.upload for each in plain), digits=2),
        "joined_ms": spread((1000 * each.joined for each in plain), digits=2),
        "gradio_client": {name: _parts([each for each in one if each.task == name]) for name in CALLS},
        "gradio_client_added_ms": spread((1000 * each.added for each in one), digits=2),
        "together": {
            "requests_a_second": round(len(everyone) / seconds, 2),
            "tokens_a_second": round(sum(each.tokens for each in everyone) / seconds, 1),
            "tasks": {name: _parts([each for each in everyone if each.task == name]) for name in MIX},
        },
    }


def _parts(answers: Sequence[Served]) -> dict[str, Any]:
    if not answers:
        return {}
    return {
        "seconds": spread((each.seconds for each in answers), digits=4),
        "engine": spread((each.engine for each in answers), digits=4),
        "added_ms": spread((1000 * each.added for each in answers), digits=2),
        "p50_s": round(quantile((each.seconds for each in answers), 0.5), 4),
        "p95_s": round(quantile((each.seconds for each in answers), 0.95), 4),
    }


async def by_http(url: str, requests: int, scenes: Iterator[int]) -> list[Served]:
    """One visitor who asks one thing after another by plain HTTP, each about a picture uploaded before."""
    answers = []
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as http:
        session = Session(http, functions(url))
        for name in (name for _ in range(requests) for name in CALLS):
            uploaded = await session.upload(scene(next(scenes)), "scene.png")
            if uploaded.output is None:
                raise AppFailed(f"a picture was refused: {uploaded.message}")
            reply = await session.ask(name, [file(uploaded.output[0]), *CALLS[name]])
            if reply is None or reply.output is None:
                raise AppFailed(f"{name} was not answered: {reply and reply.message}")
            answers.append(_served(name, reply.seconds, reply.output[0], upload=uploaded.seconds, joined=reply.joined))
    return answers


def by_gradio(
    url: str, plans: Sequence[Sequence[str]], scenes: Iterator[int], folder: Path
) -> tuple[list[list[Served]], float]:
    """Visitors who ask at once by gradio_client, each its plan; their answers, and the seconds until the last."""
    # Its own limit of five seconds would end the measuring on a machine that is busy otherwise.
    # Each of its calls would also read the certificates anew, some 30 ms that are neither the page's nor HTTP's.
    options = {"ssl_verify": ssl.create_default_context(), "httpx_kwargs": {"timeout": TIMEOUT}}
    clients = [Client(url, verbose=False, download_files=str(folder), **options) for _ in plans]
    pictures = [[_kept(next(scenes), folder) for _ in plan] for plan in plans]

    def use(client: Client, plan: Sequence[str], paths: Sequence[Path]) -> list[Served]:
        answers = []
        for name, path in zip(plan, paths, strict=True):
            begin = time.perf_counter()
            result, _ = client.predict(handle_file(path), *CALLS[name], api_name=f"/{name}")
            answers.append(_served(name, time.perf_counter() - begin, result))
        return answers

    with ThreadPoolExecutor(len(plans)) as pool:
        begin = time.perf_counter()
        answers = list(pool.map(use, clients, plans, pictures))
        seconds = time.perf_counter() - begin
    for client in clients:
        client.close()
    return answers, seconds


def _served(task: str, seconds: float, result: Mapping[str, Any], **parts: float) -> Served:
    timing = result["timing"]
    if timing.get("cached"):
        raise AppFailed("an answer had been kept from before; every picture has to be a new one")
    return Served(task, seconds, timing["total"], timing["tokens"], **parts)


def scene(index: int) -> bytes:
    """A drawn picture, as a PNG file."""
    packed = io.BytesIO()
    draw(held_out_seed(2, index)).image.save(packed, "PNG")
    return packed.getvalue()


def _kept(index: int, folder: Path) -> Path:
    path = folder / f"scene-{index}.png"
    path.write_bytes(scene(index))
    return path


def show(figures: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Prints the tables."""
    print(f"{options.model}, one visitor, medians in ms\n")
    columns = ("task and client", "outside", "engine", "added", "least", "most")
    table(
        columns,
        [
            (f"{name} {client}", 1000 * parts["seconds"]["median"], 1000 * parts["engine"]["median"],
             *(parts["added_ms"][part] for part in ("median", "least", "most")))
            for name in CALLS
            for client, parts in (("HTTP", figures["http"][name]), ("gradio_client", figures["gradio_client"][name]))
        ],
    )  # fmt: skip
    added, joined = figures["added_ms"]["median"], figures["joined_ms"]["median"]
    print(f"added by page and HTTP: {added:.1f} ms, of these {joined:.1f} until queued")
    print(f"before that, the upload: {figures['upload_ms']['median']:.1f} ms")
    print(f"by gradio_client, with upload and download: {figures['gradio_client_added_ms']['median']:.1f} ms\n")
    many = figures["together"]
    print(f"{options.users} visitors: {many['requests_a_second']} requests/s, {many['tokens_a_second']} tokens/s\n")
    table(("task", "p50 s", "p95 s"), [(name, of["p50_s"], of["p95_s"]) for name, of in many["tasks"].items() if of])


if __name__ == "__main__":
    sys.exit(main())
