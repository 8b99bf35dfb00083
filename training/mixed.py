"""Mixed precision: float32 weights that learn, and a bfloat16 copy of them that computes.

On the processors and accelerators at hand this halves the time of a step. Knows modules; knows nothing of their use.
"""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn


M = TypeVar("M", bound=nn.Module)


class Mixed(Generic[M]):
    """A float32 `master` and its `working` copy; gradients go one way, weights the other."""

    def __init__(self, master: M, dtype: torch.dtype = torch.bfloat16) -> None:
        self.master = master
        self.working: M = copy.deepcopy(master).to(dtype)
        self._pairs = list(zip(master.parameters(), self.working.parameters(), strict=True))

    @torch.no_grad()
    def gather(self) -> float:
        """Moves the working copy's gradients to the master, adding to what lies there; returns their norm."""
        squares = []
        for own, copied in self._pairs:
            if copied.grad is None:
                continue
            gradient = copied.grad.float()
            own.grad = gradient if own.grad is None else own.grad + gradient
            copied.grad = None
        for own, _ in self._pairs:
            if own.grad is not None:
                squares.append(own.grad.pow(2).sum())
        return float(torch.stack(squares).sum().sqrt()) if squares else 0.0

    @torch.no_grad()
    def spread(self) -> None:
        """Copies the master's weights to the working copy and drops the gradients."""
        torch._foreach_copy_([copied for _, copied in self._pairs], [own for own, _ in self._pairs])
        for own, copied in self._pairs:
            own.grad = None
            copied.grad = None
