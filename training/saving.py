"""Saves of unfinished training: written whole or not at all, read back with plain words when something is off.

Knows files. Knows nothing of what is trained.
"""

import pickle
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class TrainingError(Exception):
    """Something that the person at the keyboard can put right; the message says how."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes a state beside its final place and then moves it there, so that an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.replace(path)


def load(path: Path, part: str) -> dict[str, Any]:
    """Reads a save of the given part. Raises TrainingError when it is cut short or belongs to something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError) as error:
        raise TrainingError(
            f"The save {path} cannot be read (it is cut short or no save at all): delete it to start afresh, "
            "or put an intact copy in its place."
        ) from error
    if not isinstance(state, dict) or state.get("part") != part:
        raise TrainingError(f"The file {path} is not a save of the part '{part}': move it away to start afresh.")
    return state


class Clock:
    """How far a run has come between 0 and 1, by steps or by minutes, counting what earlier runs spent."""

    def __init__(self, *, steps: int | None, minutes: float | None, done_steps: int, done_seconds: float) -> None:
        self.total_steps = steps
        self.total_seconds = None if minutes is None else minutes * 60
        self.steps = done_steps
        self._before = done_seconds
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds spent so far, earlier runs included."""
        return self._before + time.monotonic() - self._start

    @property
    def share(self) -> float:
        """How much of the run is over, 0 to 1."""
        if self.total_steps is not None:
            return min(1.0, self.steps / max(1, self.total_steps))
        assert self.total_seconds is not None
        return min(1.0, self.seconds / max(1e-9, self.total_seconds))


def schedule(share: float, step: int, *, warm_up: int = 60, decline: float = 0.3) -> float:
    """The learning rate's factor: a short rise, level, then down in a straight line over the last `decline`."""
    factor = min(1.0, (step + 1) / warm_up)
    return factor * min(1.0, max(0.02, (1 - share) / decline))


def every(seconds: float) -> Callable[[], bool]:
    """A question that answers yes when this many seconds have passed since its last yes."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        if time.monotonic() - last < seconds:
            return False
        last = time.monotonic()
        return True

    return due
