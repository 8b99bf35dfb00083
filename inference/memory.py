"""Keys and values of the sequences that are decoded together, and the cache of what pictures look like to the model.

Knows shapes, slots and bytes. Knows no model and no requests.
"""

import itertools
import math
from collections import OrderedDict

import numpy as np
import torch


class SlotCache:
    """Keys and values of every slot, allocated once.

    One tensor (slots, heads, capacity, head_dim) a layer for the keys and one for the values.
    """

    def __init__(
        self,
        *,
        layers: int,
        slots: int,
        heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.slots = slots
        self.dtype = dtype
        shape = (slots, heads, capacity, head_dim)
        self.keys = [_zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [_zeros(shape, dtype=dtype, device=device) for _ in range(layers)]

    def reading(self, slot: int, length: int) -> "_ReadingView":
        """What the model's layers write to while they read a prompt of this length into a slot."""
        return _ReadingView(self, slot, length)

    def writing(self, lengths: torch.Tensor, span: int) -> "_WritingView":
        """What the layers write to for one new token of each row; lengths (rows,) are theirs before it."""
        return _WritingView(self, lengths, span)

    def move(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` positions of a slot to another."""
        for tensor in itertools.chain(self.keys, self.values):
            tensor[target, :, :length] = tensor[source, :, :length]


def _zeros(shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros that take no memory on a CPU before they are written to; torch's own are written at once."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    untouched = np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(untouched).view(dtype).view(shape)


class _ReadingView:
    """The part of transformers' cache interface that attention layers call, for a prompt."""

    def __init__(self, cache: SlotCache, slot: int, length: int) -> None:
        self._cache, self._slot, self._length = cache, slot, length

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores keys and values (1, heads, length, head_dim) and gives them back: a prompt sees only itself."""
        self._cache.keys[layer][self._slot, :, : self._length] = keys[0]
        self._cache.values[layer][self._slot, :, : self._length] = values[0]
        return keys, values


class _WritingView:
    """The same for one new token a row."""

    def __init__(self, cache: SlotCache, lengths: torch.Tensor, span: int) -> None:
        self._cache, self._lengths, self._span = cache, lengths, span
        self._rows = torch.arange(len(lengths), device=lengths.device)

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores keys and values (rows, heads, 1, head_dim); gives all of the rows' so far, (rows, heads, span, …)."""
        stored = []
        for tensor, new in ((self._cache.keys[layer], keys), (self._cache.values[layer], values)):
            tensor[self._rows, :, self._lengths] = new[:, :, 0]
            stored.append(tensor[: len(self._rows), :, : self._span])
        return stored[0], stored[1]


class FeatureCache:
    """Image features by the hash of the pixels, the least recently used dropped beyond a size in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._features: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def get(self, key: bytes) -> torch.Tensor | None:
        """The features of these pixels, or None."""
        features = self._features.get(key)
        if features is not None:
            self._features.move_to_end(key)
        return features

    def put(self, key: bytes, features: torch.Tensor) -> None:
        """Keeps features; the oldest go where there is no room."""
        self._features[key] = features
        self._bytes += features.nbytes
        while self._bytes > self._max_bytes and len(self._features) > 1:
            _, dropped = self._features.popitem(last=False)
            self._bytes -= dropped.nbytes

    def clear(self) -> None:
        """Forgets all."""
        self._features.clear()
        self._bytes = 0
