"""Many strangers for many minutes: good questions, bad ones, and some who leave; nobody's question may get lost.

    python -m benchmarks.soak --clients 50 --minutes 10

Starts the real app as a process of its own. Each client is a visitor with a session of its own and does one thing
after another: mostly it asks, sometimes it sends what strangers send (`benchmarks.hostile`), hangs up midway, asks for
far too much at once, or tries to fetch what nobody may. What is asked must end as an answer or as a sentence that says
why not; a generic apology, an empty message, an error of the server or no end at all is a failure.

Writes how it stands to a file as it goes. Prints tables, then one JSON line; exits with 1 if something failed.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks import hostile
from benchmarks.app_process import App, AppFailed, started
from benchmarks.measuring import last_line, machine, quantile, table
from benchmarks.page_client import TIMEOUT, Lost, Reply, Session, file, functions
from benchmarks.serving import CALLS, scene
from inference.checkpoints import pick_device
from inference.errors import UserError
from inference.settings import device_name
from ui.texts import DEFAULT, Texts

FLAGS = ("--max-queue=64", "--trusted-proxy=127.0.0.1")
"""Of the app. Clients say by a proxy's header where they come from, so that each has an address of its own."""

WARM_UP = 0.2
"""The part of the time after which memory should have come to rest."""

PLAIN_REFUSALS = (400, 403, 404, 405, 413, 422, 429, 503, 507)
"""Statuses with which HTTP itself says no."""


@dataclass(slots=True)
class Count:
    """What came of everything that was asked so far.

    Attributes:
        asked: How many questions were put.
        answered, refused, left: Of these, how they ended.
        failures: What must not be, with an example of each.
        messages: How often each sentence was given, numbers taken out.
        seconds: Of each answer.
        did: How often each kind of thing was done.
    """

    asked: int = 0
    answered: int = 0
    refused: int = 0
    left: int = 0
    lost: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)


CROWD = 40
"""Questions that a client asks at once when it asks for too much; the app allows an address 32."""


class Judge:
    """Says of each reply whether it is one that a stranger may get.

    Args:
        generic: Beginnings of messages that say nothing.
    """

    def __init__(self, generic: Sequence[str]) -> None:
        self._generic = tuple(generic)
        self.count = Count()

    async def ask(self, what: str, question: Awaitable[Reply | None]) -> Reply | None:
        """Counts a question and what comes of it."""
        self.count.asked += 1
        try:
            reply = await question
        except (Lost, httpx.HTTPError) as error:
            self.count.lost += 1
            self.fail(f"lost: {what}: {type(error).__name__} {error}")
            return None
        if reply is None:
            self.count.left += 1
        elif reply.output is not None:
            self.count.answered += 1
            self.count.seconds.append(reply.seconds)
        else:
            self.count.refused += 1
            self.refusal(what, reply)
        return reply

    def refusal(self, what: str, reply: Reply) -> None:
        """Looks at what a refusal says."""
        message = (reply.message or "").strip()
        self.count.messages["".join("0" if letter.isdigit() else letter for letter in message)[:90]] += 1
        if reply.status >= 500 and reply.status not in PLAIN_REFUSALS:
            self.fail(f"status {reply.status}: {what}: {message[:200]}")
        elif not message:
            self.fail(f"no message: {what}, status {reply.status}")
        elif message.startswith(self._generic) or "Traceback" in message:
            self.fail(f"generic message: {what}: {message[:200]}")

    def fail(self, what: str) -> None:
        """Counts a failure."""
        self.count.failures[what] += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the test that the command line asks for, prints what came of it, and gives the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="as app.py takes it (default: demo)")
    parser.add_argument("--device", type=device_name, default="auto")
    parser.add_argument("--clients", type=int, default=50, help="at once (default: 50)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument(
        "--pause", type=float, default=1.0, help="seconds between what a client does, about (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what the clients do")
    parser.add_argument("--state", type=Path, default=Path("runs/soak.json"), help="file to follow it by")
    options = parser.parse_args(arguments)
    if options.clients < 1 or options.minutes <= 0:
        parser.error("--clients is at least 1, --minutes above 0")
    options.state.parent.mkdir(parents=True, exist_ok=True)
    texts = Texts.read()
    judge = Judge([texts.now("error.ours", DEFAULT, id="\0").partition("\0")[0], "Error", "Internal Server Error"])
    try:
        device = pick_device(options.device)
        with started([f"--model={options.model}", f"--device={options.device}", *FLAGS]) as app:
            app.wait_until_served()
            app.wait_until_ready()
            samples = asyncio.run(soak(app, judge, options))
            alive = app.process.poll() is None
            errors = sum(" ERROR " in line for line in app.log.read_text("utf-8", "replace").splitlines())
    except (AppFailed, UserError) as error:
        parser.exit(1, f"{error}\n")
    figures = account(judge.count, samples, options)
    figures |= {"alive_at_the_end": alive, "errors_in_the_log": errors}
    show(figures)
    last_line({"benchmark": "soak", "machine": machine(device)} | figures)
    return 0 if passed(figures) else 1


def passed(figures: Mapping[str, Any]) -> bool:
    """Whether the app lived to the end and nothing went wrong, on either side."""
    return figures["alive_at_the_end"] and not any(
        figures[name] for name in ("failures", "unaccounted", "errors_in_the_log")
    )


async def soak(app: App, judge: Judge, options: argparse.Namespace) -> list[tuple[float, int]]:
    """Lets the clients go on for the time; gives (seconds, bytes) of the app's memory, every two seconds."""
    begin = time.perf_counter()
    until = begin + 60 * options.minutes
    samples: list[tuple[float, int]] = []
    # The server closes a connection that is idle for 5 seconds; one that is used just then would seem lost.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=options.clients, keepalive_expiry=2.0)
    async with httpx.AsyncClient(base_url=app.url, timeout=TIMEOUT, limits=limits) as http:
        numbers = functions(app.url)
        clients = [
            asyncio.create_task(visit(client(http, numbers, number), judge, options, until=until, number=number))
            for number in range(options.clients)
        ]
        everyone = asyncio.gather(*clients)
        while not everyone.done():
            await asyncio.wait([everyone], timeout=2)
            if time.perf_counter() < until:  # later the last ones only wait for their answers
                samples.append((time.perf_counter() - begin, app.memory()))
            options.state.write_text(json.dumps(account(judge.count, samples, options)) + "\n", encoding="utf-8")
            if app.process.poll() is not None:
                everyone.cancel()
                raise AppFailed(f"the app ended with {app.process.returncode}:\n{app.end_of_log()}")
        await everyone
    return samples


def client(http: httpx.AsyncClient, numbers: Mapping[str, int], number: int) -> Session:
    """A visitor with an address of the internet of its own."""
    return Session(http, numbers, {"x-forwarded-for": f"9.9.{number // 250}.{number % 250 + 1}"})


async def visit(session: Session, judge: Judge, options: argparse.Namespace, *, until: float, number: int) -> None:
    """One client, until the time is over; now and then it comes back as somebody new."""
    chance = random.Random(f"{options.seed} {number}")
    while time.perf_counter() < until:
        [deed] = chance.choices(list(DEEDS), list(DEEDS.values()))
        judge.count.did[deed.__name__] += 1
        await deed(session, judge, chance)
        if chance.random() < 0.1:
            session = session.beside()
        await asyncio.sleep(chance.uniform(0, 2 * options.pause))


async def upload(session: Session, judge: Judge, content: bytes, name: str, what: str) -> Any:
    """Uploads a file; gives what stands for it, or None if it was refused."""
    try:
        reply = await session.upload(content, name)
    except httpx.HTTPError as error:
        judge.fail(f"lost: upload of {what}: {type(error).__name__} {error}")
        return None
    if reply.output is None:
        judge.refusal(f"upload of {what}", reply)
        return None
    return file(reply.output[0])


async def ask_well(session: Session, judge: Judge, chance: random.Random, leave_after: float | None = None) -> None:
    """A good question about a good picture; it has to be answered unless there is a crowd."""
    task = chance.choice(list(CALLS))
    picture = await upload(session, judge, await _scene(chance), "scene.png", "a good picture")
    if picture is not None:
        await judge.ask(f"good {task}", session.ask(task, [picture, *CALLS[task]], leave_after=leave_after))


async def leave_midway(session: Session, judge: Judge, chance: random.Random) -> None:
    """A good question whose answer nobody waits for."""
    await ask_well(session, judge, chance, leave_after=chance.uniform(0, 1.5))


async def send_bad_picture(session: Session, judge: Judge, chance: random.Random) -> None:
    """A file that is no picture, or a strange one."""
    what = chance.choice(list(hostile.UPLOADS))
    content, name = await asyncio.to_thread(hostile.UPLOADS[what], chance)
    picture = await upload(session, judge, content, name, what)
    if picture is not None:
        await judge.ask(f"picture: {what}", session.ask("detect", [picture, *CALLS["detect"]]))


async def send_huge_file(session: Session, judge: Judge, chance: random.Random) -> None:
    """A file beyond the limit."""
    content = bytes(hostile.HUGE + chance.randrange(1000))
    if await upload(session, judge, content, "huge.png", "a huge file") is not None:
        judge.fail("a huge file was taken")


async def send_no_picture(session: Session, judge: Judge, chance: random.Random) -> None:
    """Something else where the picture should be: a path, an address, a number."""
    what = chance.choice(list(hostile.PICTURES))
    reply = await judge.ask(
        f"for a picture: {what}", session.ask("describe", [hostile.PICTURES[what], *CALLS["describe"]])
    )
    if reply is not None and reply.output is not None:
        judge.fail(f"answered, for a picture: {what}")


async def send_bad_text(session: Session, judge: Judge, chance: random.Random) -> None:
    """A text that is none, or a strange one, or other values than the endpoint takes."""
    picture = await upload(session, judge, await _scene(chance), "scene.png", "a good picture")
    if picture is None:
        return
    text = chance.choice(hostile.TEXTS)
    inputs = chance.choice(
        (
            [picture, text, "en", False, "en", ""],
            [picture, "How many?", text, False, "en", ""],
            [picture, "How many?", "en", text, "en", ""],
            [picture, "How many?", "en", False, "en", text],
            [picture, text],
            [],
        )
    )
    await judge.ask(f"text: {str(text)[:20]!r}", session.ask("answer", inputs))


async def crowd(session: Session, judge: Judge, chance: random.Random) -> None:
    """Far more questions at once than one address may ask."""
    picture = await upload(session, judge, await _scene(chance), "scene.png", "a good picture")
    if picture is not None:
        questions = [
            judge.ask("crowd", session.beside().ask("answer", [picture, *CALLS["answer"]])) for _ in range(CROWD)
        ]
        await asyncio.gather(*questions)


async def fetch(session: Session, judge: Judge, chance: random.Random) -> None:
    """What nobody may fetch."""
    address = chance.choice(hostile.ADDRESSES)
    try:
        response = await session.http.get(address, headers={"accept": "application/json"})
    except httpx.HTTPError as error:
        judge.fail(f"lost: fetching {address}: {type(error).__name__}")
        return
    if response.status_code not in PLAIN_REFUSALS:
        judge.fail(f"fetching {address}: status {response.status_code}")


Deed = Callable[[Session, Judge, random.Random], Awaitable[None]]
DEEDS: Mapping[Deed, float] = {
    ask_well: 50, leave_midway: 12, send_bad_picture: 12, send_bad_text: 10, send_no_picture: 8, fetch: 5, crowd: 1,
    send_huge_file: 1,
}  # fmt: skip
"""What clients do, and how often compared with the rest."""


async def _scene(chance: random.Random) -> bytes:
    return await asyncio.to_thread(partial(scene, chance.randrange(200)))


def account(count: Count, samples: Sequence[tuple[float, int]], options: argparse.Namespace) -> dict[str, Any]:
    """What came of it so far, as plain values."""
    return {
        "clients": options.clients,
        "minutes": options.minutes,
        "asked": count.asked,
        "answered": count.answered,
        "refused_plainly": count.refused,
        "left_midway": count.left,
        "lost": count.lost,
        "unaccounted": count.asked - count.answered - count.refused - count.left - count.lost,
        "failures": sum(count.failures.values()),
        "failure_examples": dict(count.failures.most_common(12)),
        "answer_p50_s": round(quantile(count.seconds, 0.5), 3) if count.seconds else None,
        "answer_p95_s": round(quantile(count.seconds, 0.95), 3) if count.seconds else None,
        "did": dict(count.did.most_common()),
        "messages": dict(count.messages.most_common(40)),
        "memory": memory(samples, seconds=60 * options.minutes),
    }


def memory(samples: Sequence[tuple[float, int]], *, seconds: float) -> dict[str, float]:
    """How memory went after the warm-up: at its start, at the end (medians of a tenth of the time), and the slope."""
    warm = [(at, size) for at, size in samples if at >= WARM_UP * seconds]
    first = [size for at, size in warm if at < (WARM_UP + 0.1) * seconds]
    last = [size for at, size in warm if at >= 0.9 * seconds]
    if not (first and last):
        return {}
    at, size = np.array(warm, dtype=float).T
    return {
        "after_warm_up_mb": round(statistics.median(first) / 1e6, 1),
        "end_mb": round(statistics.median(last) / 1e6, 1),
        "most_mb": round(max(size for _, size in samples) / 1e6, 1),
        "end_over_warm_up": round(statistics.median(last) / statistics.median(first), 4),
        "slope_mb_a_minute": round(float(np.polyfit(at, size, 1)[0]) * 60 / 1e6, 2),
    }


def show(figures: Mapping[str, Any]) -> None:
    """Prints the tables."""
    print(f"{figures['clients']} clients, {figures['minutes']:g} minutes\n")
    names = ("asked", "answered", "refused_plainly", "left_midway", "lost", "unaccounted", "failures",
             "errors_in_the_log", "alive_at_the_end")  # fmt: skip
    table(("questions", ""), [(name, figures[name]) for name in names])
    table(("did", "times"), figures["did"].items())
    table(("sentence", "times"), figures["messages"].items())
    if figures["failures"]:
        table(("failure", "times"), figures["failure_examples"].items())
    table(("memory", ""), figures["memory"].items())


if __name__ == "__main__":
    sys.exit(main())
