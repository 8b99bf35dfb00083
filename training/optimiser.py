"""The optimiser: orthogonalised momentum for the weight matrices of the layers, Adam for everything else.

Knows parameters and gradients. Knows nothing of what they belong to: the caller says which are matrices of layers.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from training.mixed import working_dtype


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates of one group of parameters, as multiples of the schedule's factor."""

    matrices: float
    others: float


class Optimiser:
    """Steps float32 parameters from the gradients that lie in their `.grad`.

    A layer's matrix moves along its momentum with all singular values brought near one (the idea of "Muon"): every
    direction that the gradient names is used, not only the strongest few. On this model it reaches a given loss in
    about half the steps of Adam. Vectors, embeddings and heads stay with Adam.
    """

    def __init__(self, *, matrices: Iterable[nn.Parameter], others: Iterable[nn.Parameter], rates: Rates) -> None:
        self.matrices = list(matrices)
        self.others = list(others)
        self.rates = rates
        self.steps = 0
        self._momentum = [torch.zeros_like(p) for p in self.matrices]
        self._mean = [torch.zeros_like(p) for p in self.others]
        self._square = [torch.zeros_like(p) for p in self.others]
        by_shape: dict[tuple[bool, int, int], list[int]] = {}
        for index, parameter in enumerate(self.matrices):
            rows, columns = parameter.shape
            by_shape.setdefault((rows > columns, min(rows, columns), max(rows, columns)), []).append(index)
        self._shapes = by_shape

    @torch.no_grad()
    def step(self, factor: float, *, decay: float = 0.01, momentum: float = 0.95) -> None:
        """One update; `factor` is the schedule's value between 0 and 1."""
        self.steps += 1
        self._step_matrices(self.rates.matrices * factor, decay, momentum)
        self._step_others(self.rates.others * factor, betas=(0.9, 0.97))

    def _step_matrices(self, rate: float, decay: float, momentum: float) -> None:
        for (tall, _, wide), indices in self._shapes.items():
            grads = {index: self.matrices[index].grad for index in indices}
            gradients = {index: gradient for index, gradient in grads.items() if gradient is not None}
            if not gradients or rate == 0:
                continue
            pushes = []
            for index, gradient in gradients.items():
                self._momentum[index].mul_(momentum).add_(gradient)
                push = gradient.add(self._momentum[index], alpha=momentum)
                pushes.append(push.T if tall else push)
            straight = _orthogonal(torch.stack(pushes))
            scale = 0.2 * math.sqrt(wide)
            for index, update in zip(gradients, straight, strict=True):
                parameter = self.matrices[index]
                parameter.mul_(1 - rate * decay).add_(
                    (update.T if tall else update).to(parameter.dtype), alpha=-rate * scale
                )

    def _step_others(self, rate: float, betas: tuple[float, float]) -> None:
        present = [index for index, parameter in enumerate(self.others) if parameter.grad is not None]
        if not present or rate == 0:
            return
        parameters: list[torch.Tensor] = [self.others[index] for index in present]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means, squares = [self._mean[index] for index in present], [self._square[index] for index in present]
        torch._foreach_lerp_(means, gradients, 1 - betas[0])
        torch._foreach_mul_(squares, betas[1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - betas[1])
        first, second = 1 - betas[0] ** self.steps, 1 - betas[1] ** self.steps
        spread = torch._foreach_sqrt(squares)
        torch._foreach_div_(spread, math.sqrt(second))
        torch._foreach_add_(spread, 1e-8)
        torch._foreach_addcdiv_(parameters, means, spread, -rate / first)

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on as if nothing had happened."""
        return {"steps": self.steps, "momentum": self._momentum, "mean": self._mean, "square": self._square}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a saved state. Raises ValueError when it belongs to other parameters."""
        for own, saved in (
            (self._momentum, state["momentum"]),
            (self._mean, state["mean"]),
            (self._square, state["square"]),
        ):
            if len(own) != len(saved) or any(a.shape != b.shape for a, b in zip(own, saved, strict=True)):
                raise ValueError("the saved optimiser belongs to a model of another shape")
            for mine, theirs in zip(own, saved, strict=True):
                mine.copy_(theirs)
        self.steps = state["steps"]


def _orthogonal(batch: torch.Tensor) -> torch.Tensor:
    """Brings the singular values of each wide matrix of a batch (n, rows, columns) near one.

    Five rounds of an odd quintic polynomial whose coefficients rise steeply at zero; it settles between 0.7 and 1.2,
    which is near enough for a step's direction. bfloat16, where that is fast, is enough for the same reason.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = batch / (batch.flatten(1).norm(dim=1)[:, None, None] * 1.01 + 1e-7)
    x = x.to(working_dtype(x.device.type))
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.float()
