"""How much one engine answers for many users at once, against one request after another.

    python -m benchmarks.throughput --users 8 --rounds 7 --repeats 3

Every user asks in turn for an answer of 3 tokens, a detection of 30 and a description of 80, each from another start,
so that a third of all is of each kind at any time; how long a user's first request takes does not count, since they all
begin at once, which no crowd does. Every request has a picture of noise of its own, so that neither
kept features nor kept answers serve it, and writes exactly its tokens. The same mix runs one by one and with all users,
alternately, so that what else the machine does meets both. Prints tables, then one JSON line.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from benchmarks import ceilings
from benchmarks.measuring import Answered, ask, last_line, machine, picture, quantile, running, spread, table
from inference.checkpoints import pick_device
from inference.engine import Engine
from inference.errors import UserError
from inference.loading import load
from inference.settings import device_name


@dataclass(frozen=True, slots=True)
class Kind:
    """A request of the mix."""

    prompt: str
    tokens: int


MIX: Mapping[str, Kind] = MappingProxyType(
    {
        "answer": Kind("answer en how many?", 3),
        "detect": Kind("detect cat ; dog", 30),
        "describe": Kind("describe en", 80),
    }
)


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one run of the mix.

    Attributes:
        seconds: From the first request to the last answer.
        tokens, requests: All that were answered.
        answers: Name of the kind -> the answers, without each user's first.
    """

    seconds: float
    tokens: int
    requests: int
    answers: Mapping[str, Sequence[Answered]]

    @property
    def tokens_a_second(self) -> float:
        """Of all users together."""
        return self.tokens / self.seconds

    @property
    def requests_a_second(self) -> float:
        """Of all users together."""
        return self.requests / self.seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the command line asks for, prints it, and gives the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if min(options.users, options.rounds, options.repeats) < 1:
        parser.error("--users, --rounds and --repeats are at least 1")
    try:
        device = pick_device(options.device)
        limits = ceilings.of_models(device, options)  # before a model holds the memory that they need
        loaded = load(
            options.model, device=device, dtype=options.dtype, quantize=options.quantize, progress=lambda *_: None
        )
        with running(loaded, queue_size=max(64, 4 * options.users)) as engine:
            figures = measure(engine, options)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    named = {
        "benchmark": "throughput", "machine": machine(device), "device": str(device), "model": loaded.name,
        "dtype": str(loaded.dtype).removeprefix("torch."), "quantize": options.quantize, "users": options.users,
        "requests": options.users * options.rounds, "repeats": options.repeats,
        "ceilings": [asdict(each) for each in limits],
    }  # fmt: skip
    show(named | figures)
    last_line(named | figures)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="demo, 3b, 10b, a hub id or a folder (default: demo)")
    parser.add_argument("--device", type=device_name, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantize", default="none", help="none, int8 or int4 (default: none)")
    parser.add_argument("--users", type=int, default=8, help="that ask at once (default: 8)")
    parser.add_argument("--rounds", type=int, default=7, help="requests of each user (default: 7)")
    parser.add_argument("--repeats", type=int, default=3, help="of the whole, alone and together (default: 3)")
    ceilings.add_flags(parser)
    return parser


def measure(engine: Engine, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the mix one by one and with all users, alternately."""
    seeds = itertools.count(1)
    for kind in MIX.values():
        ask(engine, picture(next(seeds)), kind.prompt, tokens=kind.tokens)
    run(engine, users=options.users, rounds=3, together=True, seeds=seeds)  # the first of a size may compile
    alone, together = [], []
    for repeat in range(options.repeats):
        print(f"{repeat + 1} of {options.repeats}: one by one, then together", file=sys.stderr, flush=True)
        alone.append(run(engine, users=options.users, rounds=options.rounds, together=False, seeds=seeds))
        together.append(run(engine, users=options.users, rounds=options.rounds, together=True, seeds=seeds))
    return {
        "one_by_one": summary(alone),
        "together": summary(together),
        "tokens_a_second_ratio": spread(
            (many.tokens_a_second / one.tokens_a_second for one, many in zip(alone, together, strict=True)), digits=2
        ),
        "p95_ratio": {
            name: round(_p95(together, name) / _p95(alone, name), 2) for name in MIX if together[0].answers[name]
        },
        "second_task": second_task(engine, seeds=seeds),
    }


def run(engine: Engine, *, users: int, rounds: int, together: bool, seeds: Iterator[int]) -> Round:
    """Has every user ask so often, one user after another or all at once."""
    names = list(MIX)
    # Made before the clock starts: a real user's picture does not cost the engine's machine anything either.
    plans = [
        [(names[(user + turn) % len(names)], picture(next(seeds))) for turn in range(rounds)] for user in range(users)
    ]

    def use(user: int) -> list[tuple[str, Answered]]:
        return [
            (name, ask(engine, image, MIX[name].prompt, tokens=MIX[name].tokens, client=f"user {user}"))
            for name, image in plans[user]
        ]

    with ThreadPoolExecutor(users if together else 1) as pool:
        begin = time.perf_counter()
        answered = list(pool.map(use, range(users)))
        seconds = time.perf_counter() - begin
    answers = list(itertools.chain.from_iterable(answered))
    counted = list(itertools.chain.from_iterable(of_user[1:] for of_user in answered))
    return Round(
        seconds,
        sum(answer.tokens for _, answer in answers),
        len(answers),
        {name: [answer for kind, answer in counted if kind == name] for name in names},
    )


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Rates over the repeats, and of each kind of request how long it took over all of them."""
    kinds = {}
    for name in MIX:
        answers = [answer for each in rounds for answer in each.answers[name]]
        if answers:
            kinds[name] = {
                "p50_s": round(quantile((answer.total for answer in answers), 0.5), 4),
                "p95_s": round(quantile((answer.total for answer in answers), 0.95), 4),
                "first_token_p50_s": round(quantile((answer.first for answer in answers), 0.5), 4),
                "queue_p50_s": round(quantile((answer.timing.queue for answer in answers), 0.5), 4),
                "count": len(answers),
            }
    return {
        "tokens_a_second": spread((each.tokens_a_second for each in rounds), digits=1),
        "requests_a_second": spread((each.requests_a_second for each in rounds), digits=2),
        "kinds": kinds,
    }


def second_task(engine: Engine, *, seeds: Iterator[int], pictures: int = 5) -> dict[str, Any]:
    """Seconds in the vision tower for a picture's first task, and for another task on the same picture."""
    vision: tuple[list[float], list[float]] = ([], [])
    for _ in range(pictures):
        image = picture(next(seeds))
        for seconds, kind in zip(vision, (MIX["answer"], MIX["detect"]), strict=True):
            seconds.append(ask(engine, image, kind.prompt, tokens=kind.tokens).timing.vision)
    return {"first_vision_s": spread(vision[0], digits=6), "second_vision_s": spread(vision[1], digits=6)}


def _p95(rounds: Sequence[Round], name: str) -> float:
    return quantile((answer.total for each in rounds for answer in each.answers[name]), 0.95)


def show(figures: Mapping[str, Any]) -> None:
    """Prints the tables."""
    here = figures["machine"]
    print(f"{figures['model']} ({figures['dtype']}) on {here['gpu'] or here['cpu']}, {figures['users']} users\n")
    ways = (("one by one", figures["one_by_one"]), ("together", figures["together"]))
    table(
        ("medians of the repeats", "tokens/s", "least", "most", "requests/s"),
        [
            (name, *(way["tokens_a_second"][part] for part in ("median", "least", "most")),
             way["requests_a_second"]["median"])
            for name, way in ways
        ],
    )  # fmt: skip
    table(
        ("request", "p50 s", "p95 s", "first token p50 s", "in the queue p50 s"),
        [
            (f"{name} {kind}", of_kind["p50_s"], of_kind["p95_s"], of_kind["first_token_p50_s"], of_kind["queue_p50_s"])
            for kind in MIX
            for name, way in ways
            if (of_kind := way["kinds"].get(kind))
        ],
    )
    ratio, second = figures["tokens_a_second_ratio"], figures["second_task"]
    print(f"together / one by one: {ratio['median']} × tokens a second ({ratio['least']} to {ratio['most']})")
    print(f"p95 together / one by one: {figures['p95_ratio']}")
    print(
        f"vision: {1000 * second['first_vision_s']['median']:.2f} ms for a picture's first task, "
        f"{1000 * second['second_vision_s']['median']:.3f} ms for its second\n"
    )


if __name__ == "__main__":
    sys.exit(main())
