"""Products of activations with weights that are stored in few bytes: bfloat16, int8 or int4, on a CPU and on a GPU.

Decoding reads every weight for every token, so its speed is that of the memory: each product here reads the weights as
they are stored, by the kernel that came closest to what the memory gives. Knows matrices; knows no model.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from inference.machine import multiplies_bfloat16

_ROWS_BY_VECTOR = 8
"""On a CPU without bfloat16, up to so many rows are multiplied one by one: still faster than one matrix product."""

_CONVERTED_ROWS = 16_384
"""Rows of weights that are converted at once, so that a vocabulary of 257,216 never stands in float32 as a whole."""

_INT4_GROUPS = (128, 64, 32)
_INT4_ROWS = 64
"""torch packs int4 weights in blocks of 64 rows on a CPU with AVX512 and of 32 on others; a tail looks different."""


def product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Multiplies (rows, inputs) by a weight (outputs, inputs): (rows, outputs), in the dtype of x.

    Where the two differ, x is the float32 of a CPU and the weight is shorter. torch's `mv` reads bfloat16 at the speed
    of the memory, `linear` at half of it.
    """
    if x.dtype == weight.dtype:
        return functional.linear(x, weight)
    native = multiplies_bfloat16()
    if len(x) <= (1 if native else _ROWS_BY_VECTOR):
        return torch.stack([torch.mv(weight, row) for row in x.to(weight.dtype)]).to(x.dtype)
    if native:
        return functional.linear(x.to(weight.dtype), weight).to(x.dtype)
    return torch.cat([functional.linear(x, part.to(x.dtype)) for part in torch.split(weight, _CONVERTED_ROWS)], dim=-1)


class Linear(nn.Module):
    """A linear layer on weights as they are."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (rows, inputs) to (rows, outputs)."""
        y = self._product(x)
        return y if self.bias is None else y + self.bias

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        return product(x, self.weight)


class QuantizedLinear(Linear):
    """A linear layer whose weights have fewer than 16 bits."""

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        """The weights (outputs, inputs) in this dtype."""
        raise NotImplementedError

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        # With one row this is a sum, in which a compiler reads the weights as they are stored and keeps none of them.
        if len(x) == 1 and x.is_cuda:
            return (self.dequantized(x.dtype) * x).sum(dim=-1, dtype=torch.float32).to(x.dtype).unsqueeze(0)
        return functional.linear(x, self.dequantized(x.dtype))


class Int8Linear(QuantizedLinear):
    """One scale for every row of the weights. On a CPU x is rounded to int8 too, row by row: a product of integers."""

    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        scale = weight.float().abs().amax(dim=1).clamp_(min=1e-8) / 127
        super().__init__((weight.float() / scale.unsqueeze(1)).round_().to(torch.int8), bias)
        self.register_buffer("scale", scale, persistent=False)

    @staticmethod
    def bytes(outputs: int, inputs: int) -> int:
        """What a layer of this shape takes."""
        return outputs * (inputs + 4)

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        """The weights (outputs, inputs) in this dtype."""
        return self.weight.to(dtype) * self.scale.unsqueeze(1).to(dtype)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_cuda:
            return super()._product(x)
        scale = x.abs().amax(dim=1, keepdim=True).clamp_(min=1e-8) / 127
        whole = (x / scale).round_().to(torch.int8)
        return torch._int_mm(whole, self.weight.t()).to(x.dtype).mul_(scale).mul_(self.scale)


class Int4Linear(QuantizedLinear):
    """A scale and a zero for every group of inputs of every row.

    Raises:
        ValueError: The shape cannot be packed.
    """

    scales_and_zeros: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        outputs, inputs = weight.shape
        self._group = self.group(outputs, inputs)
        groups = weight.float().view(outputs, -1, self._group)
        low, high = groups.aminmax(dim=2)
        scale = ((high - low) / 15).clamp_(min=1e-8)
        zero = low + 8 * scale  # torch's kernel computes (value - 8) * scale + zero
        values = ((groups - low.unsqueeze(2)) / scale.unsqueeze(2)).round_().clamp_(0, 15).view(outputs, inputs)
        if weight.is_cuda:
            values = values.to(torch.uint8)
            packed = values[:, ::2] | values[:, 1::2] << 4
        else:
            packed = torch._convert_weight_to_int4pack_for_cpu(values.int(), 1)
        super().__init__(packed, bias)
        both = torch.stack((scale.t(), zero.t()), dim=2).to(torch.bfloat16).contiguous()
        self.register_buffer("scales_and_zeros", both, persistent=False)

    @staticmethod
    def group(outputs: int, inputs: int) -> int:
        """How many inputs share a scale."""
        for size in _INT4_GROUPS:
            if inputs % size == 0 and outputs % _INT4_ROWS == 0:
                return size
        raise ValueError(f"int4 needs rows in multiples of {_INT4_ROWS} and columns of 32; these are {outputs, inputs}")

    @classmethod
    def bytes(cls, outputs: int, inputs: int) -> int:
        """What a layer of this shape takes."""
        return outputs * (inputs // 2 + 4 * (inputs // cls.group(outputs, inputs)))

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        """The weights (outputs, inputs) in this dtype."""
        outputs = self.scales_and_zeros.shape[1]
        if self.weight.is_cuda:
            values = torch.stack((self.weight & 15, self.weight >> 4), dim=2).flatten(1)
        else:
            half = (_INT4_ROWS if torch.backends.cpu.get_cpu_capability() == "AVX512" else _INT4_ROWS // 2) // 2
            blocks = self.weight.view(outputs // half // 2, -1, half)  # (block, input, row): its first half of rows low
            values = torch.cat((blocks & 15, blocks >> 4), dim=2).transpose(1, 2).reshape(outputs, -1)
        scale, zero = self.scales_and_zeros.to(dtype).permute(2, 1, 0).unsqueeze(3)
        whole: torch.Tensor = (values.to(dtype).view(outputs, -1, self._group) - 8) * scale + zero
        return whole.flatten(1)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_cuda or len(x) > _ROWS_BY_VECTOR:
            return super()._product(x)
        y = torch._weight_int4pack_mm_for_cpu(x.to(torch.bfloat16), self.weight, self._group, self.scales_and_zeros)
        return y.to(x.dtype)


QUANTIZED: dict[str, type[Int8Linear] | type[Int4Linear]] = {"int8": Int8Linear, "int4": Int4Linear}
"""The layers by their names in the settings."""


def by_columns(weight: torch.Tensor) -> torch.Tensor:
    """The same weight (outputs, inputs) as products read it fastest: column after column in float32 on a CPU.

    Of few rows, such products take a tenth to a third less time there.
    """
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return weight
    return weight.t().contiguous().t()


def fuse(layers: Sequence[nn.Linear]) -> Linear:
    """One layer with the outputs of several side by side; they become views of its weights, so no memory is added.

    The first of them keeps it, for another batch on the same model.
    """
    kept = getattr(layers[0], "fused", None)
    if isinstance(kept, Linear):
        return kept
    biases = [layer.bias.data for layer in layers if layer.bias is not None]
    weights = [layer.weight.data for layer in layers]
    whole = by_columns(torch.cat(weights))
    for layer, part in zip(layers, torch.split(whole, [len(weight) for weight in weights]), strict=True):
        layer.weight.data = part
    layers[0].fused = Linear(whole, torch.cat(biases) if biases else None)
    return layers[0].fused
