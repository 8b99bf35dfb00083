"""What the benchmarks share: medians and their spread, tables, pictures of noise, a measured answer, the machine.

Knows clocks and the engine's events. Knows no page and no HTTP; needs nothing that `inference` does not need.
"""

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from inference.batch import Batch
from inference.engine import Engine, Token
from inference.generation import Row
from inference.loading import LoadedModel
from inference.types import Timing

SIDES = (640, 480)
"""Of the pictures of noise: small enough that resizing them is not what is measured."""


@dataclass(frozen=True, slots=True)
class Answered:
    """How long one answer took, in seconds from handing over the picture and the prompt.

    Attributes:
        first: Until the first token was there.
        total: Until the last one was.
        tokens: How many they were.
        timing: The engine's own account of it; empty for others than the engine.
    """

    first: float
    total: float
    tokens: int
    timing: Timing = field(default_factory=Timing)

    @property
    def each(self) -> float:
        """Seconds for each token after the first."""
        return (self.total - self.first) / (self.tokens - 1) if self.tokens > 1 else 0.0


@contextmanager
def running(loaded: LoadedModel, *, queue_size: int = 64) -> Iterator[Engine]:
    """An engine on a loaded model, warmed up as the app does it, and closed at the end."""

    def make_batch() -> Batch[Row]:
        batch: Batch[Row] = Batch(loaded.model, loaded.processor, slots=None)
        batch.warm_up(lambda *_: None)
        return batch

    engine = Engine(loaded.model, loaded.processor, queue_size=queue_size, hang_seconds=3600.0, make_batch=make_batch)
    try:
        yield engine
    finally:
        engine.close()


def ask(engine: Engine, image: Image.Image, prompt: str, *, tokens: int, client: str = "") -> Answered:
    """Has the engine write exactly so many tokens, in a client's name.

    Raises:
        RuntimeError: It wrote another number of them, or gave an answer that it had kept: neither may be measured.
        UserError: The engine refused, or failed.
    """
    begin = time.perf_counter()
    generation = engine.submit(image, prompt, max_new_tokens=tokens, deadline=3600.0, ignore_eos=True, client=client)
    times = [time.perf_counter() - begin for event in generation if isinstance(event, Token)]
    if len(times) != tokens:
        raise RuntimeError(f"{len(times)} tokens were written, {tokens} were asked for")
    if generation.timing.cached:
        raise RuntimeError("the answer had been kept from before; every picture has to be a new one")
    return Answered(times[0], times[-1], tokens, generation.timing)


def picture(seed: int) -> Image.Image:
    """A picture of noise that no other seed makes, so that nothing kept from another one can serve it."""
    width, height = SIDES
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def spread(values: Iterable[float], *, digits: int = 6) -> dict[str, float]:
    """The median of what was measured, and how far it spreads."""
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), digits),
        "least": round(ordered[0], digits),
        "most": round(ordered[-1], digits),
        "p95": round(quantile(ordered, 0.95), digits),
        "count": len(ordered),
    }


def quantile(values: Iterable[float], part: float) -> float:
    """The value that this part of all values does not exceed, from 0 to 1, interpolated."""
    return float(np.quantile(np.fromiter(values, dtype=np.float64), part))


def machine(device: torch.device) -> dict[str, Any]:
    """Where and when it was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "cpu": _processor(),
        "cores": cores,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": metadata.version("transformers"),
        # What else keeps the machine busy makes every figure worse: to be read beside them.
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def synchronize(device: torch.device) -> None:
    """Waits until a GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table for people: the first column to the left, numbers to the right."""
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join((first, *others)), flush=True)
    print(flush=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def last_line(figures: dict[str, Any]) -> None:
    """Prints what was measured as one line of JSON, for programs."""
    print(json.dumps(figures), flush=True)
