"""Keys and values of the sequences that are decoded together, and the cache of what pictures look like to the model.

Knows shapes, slots and bytes. Knows no model and no requests.
"""

import gc
import math
import threading
from collections import OrderedDict

import numpy as np
import torch


class SlotCache:
    """Keys and values of every slot, allocated once.

    One tensor (keys and values, slots, heads, capacity, head_dim) a layer: of several slots, the keys can be seen as
    one batch of matrices without copying them.
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
        self.capacity = capacity
        self.layers = [_zeros((2, slots, heads, capacity, head_dim), dtype=dtype, device=device) for _ in range(layers)]

    def move(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` positions of a slot to another."""
        for tensor in self.layers:
            tensor[:, target, :, :length] = tensor[:, source, :, :length]


def _zeros(shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros that take no memory on a CPU before they are written to; torch's own are written at once."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    untouched = np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(untouched).view(dtype).view(shape)


def release_memory() -> None:
    """Gives back what nobody uses any more: a batch and its graphs hold each other in circles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class FeatureCache:
    """Image features by the hash of the pixels, the least recently used dropped beyond a size and a number.

    May be used by several threads.
    """

    def __init__(self, *, max_bytes: int, max_pictures: int) -> None:
        self._max_bytes = max_bytes
        self._max_pictures = max_pictures
        self._bytes = 0
        self._lock = threading.Lock()
        self._features: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def get(self, key: bytes) -> torch.Tensor | None:
        """The features of these pixels, or None."""
        with self._lock:
            features = self._features.get(key)
            if features is not None:
                self._features.move_to_end(key)
            return features

    def put(self, key: bytes, features: torch.Tensor) -> None:
        """Keeps features; the oldest go where there is no room."""
        with self._lock:
            if key in self._features:
                return  # another thread looked at the same picture
            self._features[key] = features
            self._bytes += features.nbytes
            while len(self._features) > self._max_pictures or (
                self._bytes > self._max_bytes and len(self._features) > 1
            ):
                _, dropped = self._features.popitem(last=False)
                self._bytes -= dropped.nbytes

    def clear(self) -> None:
        """Forgets all."""
        with self._lock:
            self._features.clear()
            self._bytes = 0
