"""Mixed precision and parallel halves: float32 weights that learn, and copies of them that compute.

Knows modules and gradients; knows nothing of their use. The copies are bfloat16 where that halves the time of a
step, and there is one for each processor thread: every thread runs its own part of a batch from end to end and they
meet once a step. Threads that share each single product instead wait for one another all the time, most of all on a
machine that has other work to do.
"""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import nn

from inference.machine import multiplies_bfloat16

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")


def working_dtype(device: str = "cpu") -> torch.dtype:
    """The dtype in which a device multiplies fastest: a CPU without bfloat16 takes four times as long for it."""
    return torch.bfloat16 if device != "cpu" or multiplies_bfloat16() else torch.float32


class Mixed(Generic[M]):
    """A float32 `master` and its `working` copies; gradients go one way, weights the other."""

    def __init__(self, master: M, dtype: torch.dtype, copies: int = 1) -> None:
        self.master = master
        self.working: list[M] = [copy.deepcopy(master).to(dtype) for _ in range(copies)]
        self._own: list[torch.Tensor] = list(master.parameters())
        self._copied: list[list[torch.Tensor]] = [list(module.parameters()) for module in self.working]

    @torch.no_grad()
    def gather(self) -> float:
        """Adds up the copies' gradients in the master's; returns their norm."""
        squares = []
        for number, own in enumerate(self._own):
            for parameters in self._copied:
                gradient = parameters[number].grad
                if gradient is None:
                    continue
                own.grad = gradient.float() if own.grad is None else own.grad.add_(gradient)
                parameters[number].grad = None
            if own.grad is not None:
                squares.append(own.grad.pow(2).sum())
        return float(torch.stack(squares).sum().sqrt()) if squares else 0.0

    @torch.no_grad()
    def spread(self) -> None:
        """Copies the master's weights to the working copies and drops the gradients."""
        for parameters in self._copied:
            torch._foreach_copy_(parameters, self._own)
        for own in self._own:
            own.grad = None


class Lanes:
    """Runs the parts of a step side by side, one thread each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def run(self, work: Sequence[Callable[[], T]]) -> list[T]:
        """Does all the work at the same time; an error in a piece of it is raised here."""
        if self._pool is None:
            return [piece() for piece in work]
        return [task.result() for task in [self._pool.submit(piece) for piece in work]]
