"""A decode step in few shapes, each recorded once as a CUDA graph and then repeated without Python between its kernels.

Knows shapes and recordings. Knows neither model nor requests: the step is injected, and any step runs unrecorded too.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

_CAPTURING = threading.Lock()
"""torch allows one capture at a time in a process, whatever the device."""

_SPAN = 256
"""Spans are multiples of this: fewer graphs, at most so many positions looked at in vain."""


@dataclass(frozen=True, slots=True)
class StepShapes:
    """The shapes that steps keep to: how many rows, and how many positions they look at."""

    sizes: tuple[int, ...]
    spans: tuple[int, ...]

    @classmethod
    def of(cls, *, slots: int, capacity: int, shortest: int = 0) -> "StepShapes":
        """Powers of two up to the slots, and spans up to the capacity from the shortest that a sequence can have."""
        sizes = [1 << power for power in range(slots.bit_length()) if 1 << power < slots]
        spans = [span for span in range(_SPAN, capacity - _SPAN // 2, _SPAN) if span > shortest]
        return cls((*sizes, slots), (*spans, capacity))

    def fit(self, rows: int, span: int) -> tuple[int, int]:
        """The smallest shape that holds so many rows and positions."""
        return next(size for size in self.sizes if size >= rows), next(each for each in self.spans if each >= span)


@dataclass(frozen=True, slots=True)
class _Recording:
    graph: "torch.cuda.CUDAGraph"
    inputs: torch.Tensor
    outputs: torch.Tensor


class StepGraphs:
    """Runs a step, by its recording where there is one.

    Args:
        step: Takes (2, rows) integers on the device and a span, and gives a tensor on the device. On the host it looks
            at no value of a tensor, and what it keeps it keeps in tensors that stay where they are.
        device: Where it runs.
    """

    def __init__(self, step: Callable[[torch.Tensor, int], torch.Tensor], device: torch.device) -> None:
        self._step = step
        self._device = device
        self._recordings: dict[tuple[int, int], _Recording] = {}
        self._pool: Any = None  # an opaque handle
        self._aside: Any = None  # a stream: what recordings share of their memory, they share on one

    def __call__(self, inputs: torch.Tensor, span: int) -> torch.Tensor:
        """The step's output, valid until the next step; inputs are on the host."""
        recording = self._recordings.get((inputs.shape[1], span))
        if recording is None:
            return self._step(inputs.to(self._device), span)
        recording.inputs.copy_(inputs)
        recording.graph.replay()
        return recording.outputs

    def record(self, rows: int, span: int) -> None:
        """Records the step for a shape. It runs a few times on zeros."""
        with _CAPTURING, torch.cuda.device(self._device):
            inputs = torch.zeros((2, rows), dtype=torch.long, device=self._device)
            if self._aside is None:
                self._aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch has no types here
            self._aside.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._aside):  # what is allocated or compiled on a first run cannot be recorded
                for _ in range(2):
                    self._step(inputs, span)
            torch.cuda.current_stream(self._device).wait_stream(self._aside)
            graph = torch.cuda.CUDAGraph()
            # On a stream of this device: torch's own is of the one that was current when it was first needed, and
            # would record nothing. Other threads may use the GPU meanwhile, for another model or its translators.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._aside, capture_error_mode="thread_local"):
                outputs = self._step(inputs, span)
            self._pool = graph.pool()
            self._recordings[rows, span] = _Recording(graph, inputs, outputs)

    def forget(self) -> None:
        """Drops all recordings; steps run unrecorded from now on."""
        self._recordings.clear()
        self._pool = None
