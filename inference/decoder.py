"""Gemma 2's layers as a running batch needs them: few operations, shapes that may stay, keys and values in slots.

Computes what transformers' own modules compute, on their weights, with the projections that belong together in one
product and without a copy of keys and values for every head that shares them. Knows layers, positions and masks; knows
no pictures, no sampling and no requests.
"""

import math
from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers import PaliGemmaForConditionalGeneration

from inference.linear import QUANTIZED, Int8Linear, Linear, fuse

_FUSED = (("self_attn", "qkv_proj", ("q_proj", "k_proj", "v_proj")), ("mlp", "gate_up_proj", ("gate_proj", "up_proj")))
_ALONE = (("self_attn", "o_proj", ("o_proj",)), ("mlp", "down_proj", ("down_proj",)))


def quantized_size(model: PaliGemmaForConditionalGeneration, kind: str) -> tuple[int, int]:
    """How many weights `quantize` would take from a model, and how many bytes it would make of them.

    Raises:
        ValueError: A layer has a shape that this kind does not allow.
    """
    vocabulary = model.lm_head.weight
    numbers, size = vocabulary.numel(), Int8Linear.bytes(*vocabulary.shape)
    for layer in model.model.language_model.layers:
        for part, _, parts in (*_FUSED, *_ALONE):
            layers = [getattr(getattr(layer, part), each) for each in parts]
            outputs, inputs = sum(each.out_features for each in layers), layers[0].in_features
            numbers += outputs * inputs
            size += QUANTIZED[kind].bytes(outputs, inputs)
    return numbers, size


def quantize(model: PaliGemmaForConditionalGeneration, kind: str, device: torch.device) -> None:
    """Keeps the linear layers of the text model in few bits, on this device, and lets go of their weights one by one.

    The vocabulary, a third of what a token reads if it alone stays, becomes int8 whatever the kind: each of its rows
    decides between tokens by itself. Vision tower and projector stay as they are. Only a `Decoder` runs such a model.

    Args:
        model: On a CPU.
        kind: A key of `QUANTIZED`.
        device: Where the quantized layers are made.

    Raises:
        ValueError: A layer has a shape that this kind does not allow.
    """
    quantized = QUANTIZED[kind]
    for layer in model.model.language_model.layers:
        for part, name, parts in _FUSED:
            module = getattr(layer, part)
            fused = fuse([getattr(module, each) for each in parts], pack=False)
            for each in parts:
                delattr(module, each)
            setattr(module, name, quantized(fused.weight.to(device).contiguous(), fused.bias))
        for part, name, _ in _ALONE:
            module = getattr(layer, part)
            old = getattr(module, name)
            setattr(module, name, quantized(old.weight.data.to(device), old.bias))
    tied = model.get_input_embeddings().weight is model.lm_head.weight
    model.lm_head = Int8Linear(model.lm_head.weight.data.to(device))
    if tied:
        model.set_input_embeddings(model.lm_head)


class Decoder:
    """The text model of a PaliGemma 2, its weights shared with transformers' modules.

    Weights of bfloat16 on a CPU may be packed; only a `Decoder` runs the model then, as it does a quantized one.

    Args:
        model: In evaluation mode, on its device; see `quantize` for one with fewer bits.
        positions: How many positions there can be.

    Attributes:
        dtype: Of what flows through the layers, and of keys and values: float32 on a CPU, whatever its weights are,
            where reading keys of bfloat16 takes four times as long.
    """

    def __init__(self, model: PaliGemmaForConditionalGeneration, *, positions: int) -> None:
        text = model.model.language_model
        self._embeddings, self._head = (
            vocabulary if isinstance(vocabulary, Linear) else Linear(vocabulary.weight.data)
            for vocabulary in (model.get_input_embeddings(), model.lm_head)
        )
        kept = text.norm.weight
        self.device = kept.device
        self.dtype = torch.float32 if self.device.type == "cpu" else kept.dtype
        # Gemma multiplies by a width's root that is rounded as its weights are.
        self._scale = float(torch.tensor(math.sqrt(text.config.hidden_size)).to(kept.dtype))
        self._norm = _Norm(text.norm)
        self.layers = [_Layer(layer, text.config) for layer in text.layers]
        self._sliding_window: int | None = text.config.sliding_window
        self._softcap: float | None = text.config.final_logit_softcapping
        self._positions = torch.arange(positions, device=self.device)
        cos, sin = text.rotary_emb(torch.zeros(1, device=self.device), self._positions.unsqueeze(0))
        # Half of a head is turned against the other: x * cos + roll(x) * sin, if the first half of sin is negative.
        half = cos.shape[-1] // 2
        self._cos = cos[0].to(self.dtype)
        self._sin = torch.cat((-sin[0, :, :half], sin[0, :, half:]), dim=-1).to(self.dtype)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids as the layers take them: one dimension more, of the model's width."""
        return self._embeddings.embed(ids, self.dtype) * self._scale

    def read(self, embeddings: torch.Tensor, cache: Sequence[torch.Tensor], slot: int) -> torch.Tensor:
        """Takes a prompt (1, length, width) into a slot of the cache; gives its last hidden state (1, width).

        Image and prompt are one bidirectional block: every position sees every other, so there is no mask.
        """
        length = embeddings.shape[1]
        hidden = embeddings[0]
        cos, sin = self._cos[1 : length + 1], self._sin[1 : length + 1]  # PaliGemma counts positions from 1
        for layer, stored in zip(self.layers, cache, strict=True):
            seen = stored[:, slot : slot + 1, :, :length]
            hidden = layer(hidden, cos, sin, seen, None, None, only_last=layer is self.layers[-1])
        last: torch.Tensor = self._norm(hidden)
        return last

    def write(
        self, ids: torch.Tensor, lengths: torch.Tensor, cache: Sequence[torch.Tensor], span: int, *, even: bool = False
    ) -> torch.Tensor:
        """Takes one more token of every row into the cache; gives their hidden states (rows, width).

        Nothing here depends on a value in a tensor, so that a GPU can record it once and repeat it.

        Args:
            ids: (rows,) tokens.
            lengths: (rows,) how many positions of each row's slot are filled; the token goes to the next.
            cache: For each layer (keys and values, slots, heads, positions, head_dim); row i has slot i.
            span: How many positions are looked at, more than any row's length.
            even: Whether every row fills the whole span, so that no mask is needed.
        """
        rows = len(ids)
        cos, sin = self._cos[lengths + 1].unsqueeze(1).unsqueeze(1), self._sin[lengths + 1].unsqueeze(1).unsqueeze(1)
        masks = self._masks(lengths, span, even=even)
        hidden = self.embed(ids)
        at = (self._positions[:rows], lengths)
        for layer, stored in zip(self.layers, cache, strict=True):
            hidden = layer(hidden, cos, sin, stored[:, :rows, :, :span], at, masks[layer.sliding])
        last: torch.Tensor = self._norm(hidden)
        return last

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """How much each token of the vocabulary is to follow, (rows, vocabulary) in float32, of (rows, width)."""
        logits: torch.Tensor = self._head(hidden).float()
        return logits if self._softcap is None else logits.div_(self._softcap).tanh_().mul_(self._softcap)

    def compile(self, wanted: bool = True, *, backend: str = "inductor") -> None:
        """Lets torch make fewer and larger kernels of each layer, once for all layers, when one first runs; or not."""
        # The layers of all models have their code in common, and so the limit of how often it is compiled.
        more: dict[str, Any] = {}
        if "recompile_limit" in signature(torch.compile).parameters:
            more["recompile_limit"] = 64
        else:  # an older torch, whose settings are those of the process; those of a newer one are a thread's
            torch._dynamo.config.recompile_limit = 64
        if backend == "inductor":
            # What a product takes is computed before it, not anew for each of its thousands of outputs: left to itself,
            # the compiler puts norms and GELU into the sums as which `inference.linear` writes products of one row.
            more["options"] = {"realize_reads_threshold": 1}
        for module in (*self.layers, self._head):
            if wanted:
                module.compile(dynamic=True, backend=backend, **more)
            else:
                module._compiled_call_impl = None

    def _masks(self, lengths: torch.Tensor, span: int, *, even: bool) -> dict[bool, torch.Tensor | None]:
        """Additive masks (rows, 1, 1, span) of full and sliding layers: row i sees positions 0 … lengths[i]."""
        slides = self._sliding_window is not None and span > self._sliding_window
        if even and not slides:
            return {False: None, True: None}
        positions = self._positions[:span]
        lowest = torch.finfo(torch.float32).min
        full = torch.zeros((len(lengths), span), device=self.device)
        full = full.masked_fill_(positions > lengths.unsqueeze(1), lowest)[:, None, None]
        if not slides or self._sliding_window is None:
            return {False: full, True: full}
        far = positions <= (lengths - self._sliding_window).unsqueeze(1)
        return {False: full, True: full.masked_fill(far[:, None, None], lowest)}


class _Norm(nn.Module):
    """Gemma's RMS norm in float32, the weight 1 larger than stored.

    x / sqrt(mean(x²) + eps) is x * sqrt(n) / hypot(norm(x), sqrt(n * eps)): four small operations instead of ten.
    """

    weight: torch.Tensor
    least: torch.Tensor

    def __init__(self, norm: Any) -> None:
        super().__init__()
        weight = norm.weight.data.float()
        self.register_buffer("weight", (1.0 + weight) * math.sqrt(len(weight)), persistent=False)
        self.register_buffer("least", weight.new_full((), math.sqrt(len(weight) * norm.eps)), persistent=False)

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """The norm of x (rows, width), added to a residual if there is one."""
        whole = x.float()
        unit: torch.Tensor = whole / torch.linalg.vector_norm(whole, dim=-1, keepdim=True).hypot(self.least)
        if residual is None:
            return (unit * self.weight).to(x.dtype)
        return torch.addcmul(residual.float(), unit, self.weight).to(x.dtype)


class _Layer(nn.Module):
    def __init__(self, layer: Any, config: Any) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self._heads = config.num_attention_heads
        self._kv_heads = config.num_key_value_heads
        self._head_dim = attention.head_dim
        self._scaling = attention.scaling
        self._softcap: float | None = attention.attn_logit_softcapping
        self.sliding = attention.sliding_window is not None
        self._norms = nn.ModuleList(
            _Norm(norm)
            for norm in (
                layer.input_layernorm,
                layer.post_attention_layernorm,
                layer.pre_feedforward_layernorm,
                layer.post_feedforward_layernorm,
            )
        )
        self._qkv, self._gate_up = (
            getattr(getattr(layer, part), name, None) or fuse([getattr(getattr(layer, part), each) for each in parts])
            for part, name, parts in _FUSED
        )
        self._out, self._down = (
            projection if isinstance(projection, Linear) else fuse([projection])
            for projection in (attention.o_proj, mlp.down_proj)
        )
        self._activation = mlp.act_fn

    def forward(
        self,
        hidden: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        stored: torch.Tensor,
        at: tuple[torch.Tensor, torch.Tensor] | None,
        mask: torch.Tensor | None,
        *,
        only_last: bool = False,
    ) -> torch.Tensor:
        """One layer.

        Args:
            hidden: (rows * new, width).
            cos: Of the new positions, to be multiplied with (rows, heads, new, head_dim).
            sin: The same.
            stored: The part of the cache that is seen, (keys and values, rows, heads, span, head_dim), and written to.
            at: Which row and position each new key goes to, or None if they fill the span.
            mask: Added to the attention of (rows, kv heads, queries, span).
            only_last: Whether no layer follows that would need more of the others than their keys and values: gives
                (1, width).
        """
        before_attention, after_attention, before_mlp, after_mlp = self._norms
        attended = self._attend(before_attention(hidden), cos, sin, stored, at, mask)
        if only_last:
            attended, hidden = attended[-1:], hidden[-1:]
        hidden = after_attention(self._out(attended), hidden)
        gate, up = self._gate_up(before_mlp(hidden)).chunk(2, dim=-1)
        added: torch.Tensor = after_mlp(self._down(self._activation(gate) * up), hidden)
        return added

    def _attend(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        stored: torch.Tensor,
        at: tuple[torch.Tensor, torch.Tensor] | None,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        rows = stored.shape[1]
        qkv = self._qkv(x).view(rows, len(x) // rows, -1, self._head_dim).transpose(1, 2)
        turned = qkv[:, : self._heads + self._kv_heads]
        turned = torch.addcmul(turned * cos, turned.roll(self._head_dim // 2, -1), sin)
        query, key = torch.split(turned, [self._heads, self._kv_heads], dim=1)
        value = qkv[:, self._heads + self._kv_heads :]
        if at is None:
            keys, values = key, value
            stored[0], stored[1] = key, value
        else:
            stored[:, at[0], :, at[1]] = torch.stack((key[:, :, 0], value[:, :, 0]), dim=1)
            keys, values = stored.unbind()
        # Queries that share a key stand side by side, so that keys and values are read where they are.
        query = query.reshape(rows, self._kv_heads, -1, self._head_dim)
        scores = (query @ keys.transpose(2, 3)).float()
        if self._softcap is None:
            scores = scores * self._scaling
        else:
            scores = scores.mul_(self._scaling / self._softcap).tanh_().mul_(self._softcap)
        if mask is not None:
            scores = scores.add_(mask)
        seen = scores.softmax(dim=-1).to(values.dtype) @ values
        heads: torch.Tensor = seen.view(rows, self._heads, -1, self._head_dim)
        return heads.transpose(1, 2).reshape(len(x), -1)
