"""Products of activations with weights that are stored in few bytes: bfloat16, int8 or int4, on a CPU and on a GPU.

Decoding reads every weight for every token, so its speed is that of the memory: each product here reads the weights as
they are stored, by the kernel that came closest to what the memory gives. Knows matrices; knows no model.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from inference.machine import has_bfloat16, multiplies_bfloat16

_ROWS_BY_VECTOR = 8
"""On a CPU without bfloat16, up to so many rows are multiplied one by one: still faster than one matrix product."""

_ROWS_IN_BFLOAT16 = 128
"""On a CPU with bfloat16, even one that is slow at it, up to so many rows cost less than weights made float32."""

_CONVERTED_ROWS = 32_768
"""Rows of weights that are converted at once, so that a vocabulary of 257,216 never stands in float32 as a whole."""

_UNPACKED_ROWS = 512
"""Rows of int4 that a CPU unpacks at once, a multiple of `_INT4_ROWS`: so few that they stay in its cache."""

_INT4_GROUPS = (128, 64, 32)
_INT4_ROWS = 64
"""torch packs int4 weights in blocks of 64 rows on a CPU with AVX512 and of 32 on others; a tail looks different."""


def product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Multiplies (rows, inputs) by a weight (outputs, inputs): (rows, outputs), in the dtype of x.

    Where the two differ, x is the float32 of a CPU and the weight is shorter. Which way is fastest there depends on the
    processor: torch's `mv` reads bfloat16 at the speed of the memory where there are no instructions for it, and at
    half the speed of `linear` where there are.
    """
    if x.dtype == weight.dtype or _in_bfloat16(x):
        return functional.linear(x.to(weight.dtype), weight).to(x.dtype)
    if len(x) <= _ROWS_BY_VECTOR and not has_bfloat16():
        return torch.stack([torch.mv(weight, row) for row in x.to(weight.dtype)]).to(x.dtype)
    return torch.cat([functional.linear(x, part.to(x.dtype)) for part in torch.split(weight, _CONVERTED_ROWS)], dim=-1)


def _in_bfloat16(x: torch.Tensor) -> bool:
    """Whether rows of float32 are best made bfloat16 on this CPU, to be multiplied with weights of it."""
    return has_bfloat16() and (len(x) <= _ROWS_IN_BFLOAT16 or multiplies_bfloat16())


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

    def embed(self, ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The weights of these outputs, one dimension more: what tokens are, where the outputs are a vocabulary."""
        return functional.embedding(ids, self.weight).to(dtype)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        return product(x, self.weight)


class PackedLinear(Linear):
    """bfloat16 in the order in which oneDNN multiplies it with few rows, on a CPU with instructions for that.

    Row after row `linear` reads it at 18 GB/s, packed at 25, where the memory gives 31 (an Intel Xeon of two cores).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__(torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 1), bias)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        if _in_bfloat16(x):
            y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
                x.to(torch.bfloat16), self.weight, None, "none", [], ""
            )
            return y.to(x.dtype)
        return functional.linear(x, self.weight.to_dense(x.dtype))


class Int8Linear(Linear):
    """One scale for every row of the weights. On a CPU x is rounded to int8 too, row by row: a product of integers."""

    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        scale = torch.cat([part.float().abs().amax(dim=1) for part in torch.split(weight, _CONVERTED_ROWS)])
        scale = scale.clamp_(min=1e-8).div_(127)
        whole = torch.empty_like(weight, dtype=torch.int8, memory_format=torch.contiguous_format)
        for part, by, to in zip(*(torch.split(each, _CONVERTED_ROWS) for each in (weight, scale, whole)), strict=True):
            to.copy_((part.float() / by.unsqueeze(1)).round_())
        super().__init__(whole, bias)
        self.register_buffer("scale", scale, persistent=False)

    @staticmethod
    def bytes(outputs: int, inputs: int) -> int:
        """What a layer of this shape takes."""
        return outputs * (inputs + 4)

    def embed(self, ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """As of `Linear`."""
        return super().embed(ids, dtype) * self.scale[ids].unsqueeze(-1).to(dtype)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        if _on_cpu(x):
            scale = x.abs().amax(dim=1, keepdim=True).clamp_(min=1e-8) / 127
            whole = (x / scale).round_().to(torch.int8)
            return torch._int_mm(whole, self.weight.t()).to(x.dtype).mul_(scale).mul_(self.scale)
        if _is_one_sum(x):
            y = (self.weight * x).sum(dim=-1, dtype=torch.float32).unsqueeze(0)
        else:  # every value of int8 is one of bfloat16 too
            parts = torch.split(self.weight, _CONVERTED_ROWS)
            y = torch.cat([functional.linear(x, part.to(x.dtype)) for part in parts], dim=-1).float()
        return (y * self.scale).to(x.dtype)


class Int4Linear(Linear):
    """A scale and a zero for every group of inputs of every row.

    Raises:
        ValueError: The shape cannot be packed.
    """

    scales_and_zeros: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        outputs, inputs = weight.shape
        self._group = self.group(outputs, inputs)
        self._packed_by_torch = _on_cpu(weight)
        groups = weight.float().view(outputs, -1, self._group)
        low, high = groups.aminmax(dim=2)
        scale = ((high - low) / 15).clamp_(min=1e-8)
        zero = low + 8 * scale  # torch's kernel computes (value - 8) * scale + zero
        values = ((groups - low.unsqueeze(2)) / scale.unsqueeze(2)).round_().clamp_(0, 15).view(outputs, inputs)
        if self._packed_by_torch:
            packed = torch._convert_weight_to_int4pack_for_cpu(values.int(), 1)
        else:
            first, second = values.to(torch.uint8).view(outputs, -1, 2, self._group // 2).unbind(2)
            packed = (first | second << 4).flatten(1)
        super().__init__(packed, bias)
        both = torch.stack((scale, zero), dim=2).to(torch.bfloat16)
        if self._packed_by_torch:  # whose product takes group after group; elsewhere those of a row are read together
            both = both.transpose(0, 1).contiguous()
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

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        if self._packed_by_torch and len(x) <= _ROWS_BY_VECTOR:
            half = x.to(torch.bfloat16)
            return torch._weight_int4pack_mm_for_cpu(half, self.weight, self._group, self.scales_and_zeros).to(x.dtype)
        if _is_one_sum(x):
            first, second = self._unpacked(slice(None), x.dtype)
            first_x, second_x = x.view(-1, 2, self._group // 2).unbind(1)
            y: torch.Tensor = (first * first_x + second * second_x).sum(dim=(1, 2), dtype=torch.float32)
            return y.to(x.dtype).unsqueeze(0)
        size = _UNPACKED_ROWS if self._packed_by_torch else _CONVERTED_ROWS
        parts = (slice(start, start + size) for start in range(0, len(self.weight), size))
        weights = (torch.cat(self._unpacked(part, x.dtype), dim=2).flatten(1) for part in parts)
        return torch.cat([functional.linear(x, weight) for weight in weights], dim=-1)

    def _unpacked(self, outputs: slice, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights of the first and of the second half of each group: (outputs, groups, inputs)."""
        both = self.scales_and_zeros.transpose(0, 1) if self._packed_by_torch else self.scales_and_zeros
        scale, zero = both[outputs].to(dtype).unsqueeze(3).unbind(2)  # each (outputs, groups, 1)
        first, second = self._halves(self.weight[outputs])
        return (first.to(dtype) - 8) * scale + zero, (second.to(dtype) - 8) * scale + zero

    def _halves(self, packed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same as values from 0 to 15, of the packed weights of these outputs."""
        outputs, half = len(packed), self._group // 2
        if not self._packed_by_torch:
            packed = packed.view(outputs, -1, half)
            return packed & 15, packed >> 4
        rows = (_INT4_ROWS if torch.backends.cpu.get_cpu_capability() == "AVX512" else _INT4_ROWS // 2) // 2
        blocks = packed.view(outputs // rows // 2, -1, rows)  # (block, input, row): its first half of rows low
        values = torch.cat((blocks & 15, blocks >> 4), dim=2).transpose(1, 2).reshape(outputs, -1, 2, half)
        return values[:, :, 0], values[:, :, 1]


def _on_cpu(x: torch.Tensor) -> bool:
    """Whether torch's products of integers and of packed int4 are there for a tensor: both are made for CPUs."""
    return x.device.type == "cpu"


def _is_one_sum(x: torch.Tensor) -> bool:
    """Whether a product is best written as a sum, in which a compiler reads stored weights without keeping any other.

    Without a compiler, every step of it would be written to memory, as large as all weights.
    """
    return len(x) == 1 and not _on_cpu(x) and torch.compiler.is_compiling()


QUANTIZED: dict[str, type[Int8Linear] | type[Int4Linear]] = {"int8": Int8Linear, "int4": Int4Linear}
"""The layers by their names in the settings."""


def by_columns(weight: torch.Tensor) -> torch.Tensor:
    """The same weight (outputs, inputs) as products read it fastest: column after column in float32 on a CPU.

    Of few rows, such products take a tenth to a third less time there.
    """
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return weight
    return weight.t().contiguous().t()


def fuse(layers: Sequence[nn.Linear], *, pack: bool = True) -> Linear:
    """One layer with the outputs of several side by side; no memory is added.

    They become views of its weights, or, where those are packed, lose their own. The first of them keeps the fused
    one, for another batch on the same model.

    Args:
        layers: With the same inputs.
        pack: Whether it may keep its weights in an order that only its product knows.
    """
    kept = getattr(layers[0], "fused", None)
    if isinstance(kept, Linear):
        return kept
    biases = [layer.bias.data for layer in layers if layer.bias is not None]
    weights = [layer.weight.data for layer in layers]
    whole = by_columns(torch.cat(weights))
    packed = pack and whole.dtype == torch.bfloat16 and whole.device.type == "cpu" and has_bfloat16()
    for layer, part in zip(layers, torch.split(whole, [len(weight) for weight in weights]), strict=True):
        layer.weight.data = part.new_empty(0) if packed else part
    layers[0].fused = (PackedLinear if packed else Linear)(whole, torch.cat(biases) if biases else None)
    return layers[0].fused
