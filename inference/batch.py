"""The sequences that are decoded together: pixels and token ids in, the next token of each with its probability out.

Knows how PaliGemma puts a picture before a prompt. Knows no queue, no deadline and no text; how the layers compute
stands in `inference.decoder`.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference.decoder import Decoder
from inference.graphs import StepGraphs, StepShapes
from inference.machine import available_cores
from inference.memory import FeatureCache, SlotCache
from inference.sentences import Sentence
from inference.vision import Tower

logger = logging.getLogger(__name__)

MAX_PROMPT_TOKENS = 256
MAX_NEW_TOKENS = 512

_LOCATION_TOLERANCE = 0.025
"""How far, as a part of the picture's side, two places of an edge still count as the same when a place is scored."""

_FEATURE_CACHE_BYTES = 256 * 2**20
_FEATURE_CACHE_PICTURES = 256
"""Nobody comes back to a picture after so many others."""

_SMALL_MODEL = 100_000_000
"""Weights below which one operation takes about as long as starting it."""


@dataclass(slots=True, eq=False)
class Sequence:
    """What one request brings, and where it stands. Only the batch's owner changes it.

    Attributes:
        input_ids: (1, length) with the image tokens and the prompt.
        pixel_values: (1, 3, height, width) as the processor made them.
        pixels_key: Hash of the pixels, under which their features are cached.
        length: How many positions of its slot are filled.
        last_token: The token that it wrote last.
        features: Of its picture, from `Batch.look` until it joins.
        vision, prefill: Seconds that its picture and its prompt took.
    """

    input_ids: torch.Tensor
    pixel_values: torch.Tensor
    pixels_key: bytes
    length: int = 0
    last_token: int = 0
    features: torch.Tensor | None = None
    vision: float = 0.0
    prefill: float = 0.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A token that the model chose.

    Attributes:
        id: Its number in the vocabulary.
        probability: 0 to 1, of this very token.
        score: The same; but for a location token, which competes with its neighbours, the probability of all
            location tokens within 2.5 % of the picture's side.
    """

    id: int
    probability: float
    score: float


S = TypeVar("S", bound=Sequence)


class Batch(Generic[S]):
    """The sequences that are decoded together and the memory of what they have read and written.

    Rows 0 … n-1 of the cache are the ones in use: when one leaves, the last takes its place, so that a step touches
    no memory of rows that are not there.

    Args:
        model: In evaluation mode, on its device. One thread at a time may use the batch, but for `look`.
        processor: The model's own.
        slots: How many sequences are decoded together, or None for what the memory allows.
        padded: Whether steps keep to a few shapes, which a GPU can record; None for just there.
    """

    def __init__(
        self,
        model: PaliGemmaForConditionalGeneration,
        processor: PaliGemmaProcessor,
        *,
        slots: int | None,
        padded: bool | None = None,
    ) -> None:
        self._model = model
        self._tower = Tower(model)
        self._device = model.device
        text = model.config.text_config
        self._image_token = model.config.image_token_id
        eos = model.generation_config.eos_token_id
        self.eos = frozenset([eos] if isinstance(eos, int) else eos or [processor.tokenizer.eos_token_id])
        """The tokens that end an answer."""
        vocabulary = processor.tokenizer.get_vocab()
        self._first_location = vocabulary["<loc0000>"]
        self._locations = vocabulary["<loc1023>"] - self._first_location + 1
        capacity = processor.image_seq_length + MAX_PROMPT_TOKENS + 2 + MAX_NEW_TOKENS
        self._decoder = Decoder(model, positions=capacity + 1)
        dtype = self._decoder.dtype
        row_bytes = 2 * text.num_hidden_layers * text.num_key_value_heads * capacity * text.head_dim * dtype.itemsize
        self._cache = SlotCache(
            layers=text.num_hidden_layers,
            slots=slots or _slots_that_fit(row_bytes, self._device),
            heads=text.num_key_value_heads,
            capacity=capacity,
            head_dim=text.head_dim,
            dtype=dtype,
            device=self._device,
        )
        padded = self._device.type == "cuda" if padded is None else padded
        shortest = processor.image_seq_length
        self._shapes = StepShapes.of(slots=self._cache.slots, capacity=capacity, shortest=shortest) if padded else None
        self._steps = StepGraphs(self._next, self._device)
        self._bins = torch.arange(self._locations, device=self._device)
        self._features = FeatureCache(max_bytes=_FEATURE_CACHE_BYTES, max_pictures=_FEATURE_CACHE_PICTURES)
        self.rows: list[S] = []

    @property
    def slots(self) -> int:
        """How many can be in it."""
        return self._cache.slots

    @property
    def has_room(self) -> bool:
        """Whether one more can join."""
        return len(self.rows) < self._cache.slots

    @property
    def looks_ahead(self) -> bool:
        """Whether one thread can look at a picture while another runs steps, and both gain."""
        return self._tower.is_traced

    @torch.inference_mode()
    def look(self, row: S) -> None:
        """Gives a sequence that has not joined yet the features of its picture."""
        started = time.perf_counter()
        features = self._features.get(row.pixels_key)
        if features is None:
            features = self._tower(row.pixel_values)
            self._synchronize()
            self._features.put(row.pixels_key, features)
        row.features = features
        row.vision = time.perf_counter() - started

    @torch.inference_mode()
    def add(self, row: S) -> Chosen:
        """Reads a sequence's picture and prompt, takes it into the batch, and gives its first token."""
        if row.features is None:
            self.look(row)
        features, row.features = row.features, None
        assert features is not None
        seen = time.perf_counter()

        ids = row.input_ids.to(self._device)
        is_image = ids == self._image_token
        embeddings = self._decoder.embed(ids.masked_fill(is_image, 0))
        embeddings = embeddings.masked_scatter(is_image.unsqueeze(-1), features.to(embeddings.dtype))
        hidden = self._decoder.read(embeddings, self._cache.layers, len(self.rows))
        row.length = ids.shape[1]
        self.rows.append(row)
        [chosen] = _chosen(self._choose(hidden))
        row.last_token = chosen.id
        row.prefill = time.perf_counter() - seen
        return chosen

    @torch.inference_mode()
    def step(self) -> list[Chosen]:
        """The next token of every row, in the order of `rows`."""
        rows, span = len(self.rows), max(row.length for row in self.rows) + 1
        if self._shapes is not None:
            rows, span = self._shapes.fit(rows, span)
        # Rows beyond those in use write to the start of slots that nobody has yet.
        padding = [0] * (rows - len(self.rows))
        ids = [row.last_token for row in self.rows] + padding
        lengths = [row.length for row in self.rows] + padding
        chosen = _chosen(self._steps(torch.tensor([ids, lengths]), span))[: len(self.rows)]
        for row, token in zip(self.rows, chosen, strict=True):
            row.length += 1
            row.last_token = token.id
        return chosen

    @torch.inference_mode()
    def warm_up(self, progress: Callable[[float, str], None]) -> None:
        """Compiles and records what can be repeated, before the first request; where that fails, says so and goes on.

        Args:
            progress: Is told how far it is, from 0 to 1, and what is being done.
        """
        if self._device.type == "cpu" and self._is_small:
            self._tower.trace()
        if self._device.type != "cuda" or self._shapes is None or self.rows:
            return
        shapes = [(rows, span) for rows in reversed(self._shapes.sizes) for span in reversed(self._shapes.spans)]
        progress(0.0, Sentence("Compiling the model's layers"))
        try:
            self._decoder.compile()
            for length in (self._shapes.spans[0], self._shapes.spans[0] + 1):
                self._decoder.read(
                    self._decoder.embed(torch.zeros((1, length), dtype=torch.long, device=self._device)),
                    self._cache.layers,
                    0,
                )
            for rows, span in shapes:  # each as it will be recorded: what cannot be compiled must be known before
                self._steps(torch.zeros((2, rows), dtype=torch.long), span)
        except Exception as error:  # no compiler on this machine, or one of the many ways in which it can fail
            logger.warning("The layers run uncompiled: %s", error)
            self._decoder.compile(False)
        try:
            for index, (rows, span) in enumerate(shapes):
                progress(
                    index / len(shapes),
                    Sentence("Recording {index} of {count} steps", index=index + 1, count=len(shapes)),
                )
                self._steps.record(rows, span)
        except Exception as error:
            logger.warning("Steps are not recorded as CUDA graphs: %s", error)
            self._steps.forget()
        progress(1.0, Sentence("Steps are recorded"))

    def remove(self, row: S) -> None:
        """Frees a row's slot; one that is not in the batch is left alone."""
        if row not in self.rows:
            return
        index = self.rows.index(row)
        last = self.rows.pop()
        if last is not row:
            self._cache.move(len(self.rows), index, last.length)
            self.rows[index] = last

    def drop_caches(self) -> None:
        """Lets go of memory that can be made anew."""
        self._features.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def use_threads(self) -> None:
        """Gives the calling thread as many threads as are good for this model.

        torch keeps that number by thread, so that models of different sizes do not disturb each other. A thread that
        computes for the first time afterwards, as for a translation, begins with the number that was given last.
        """
        if self._device.type == "cpu":
            torch.get_num_threads()  # begins now; else it would at its first step, and forget what is set here
            # Every operation waits for its slowest thread; where each takes microseconds, and something else wants a
            # core now and then, that wait is longer than the work.
            torch.set_num_threads(1 if self._is_small else available_cores())

    @property
    def _is_small(self) -> bool:
        weights = (*self._model.parameters(), *self._model.buffers())  # buffers, where they are quantized or packed
        return bool(sum(weight.numel() for weight in weights) < _SMALL_MODEL)

    def _next(self, inputs: torch.Tensor, span: int) -> torch.Tensor:
        """The next token of every row as `_choose` gives it, of (2, rows): their last tokens and their lengths."""
        ids, lengths = inputs
        even = self._shapes is None and (len(ids) == 1 or bool((lengths == span - 1).all()))
        return self._choose(self._decoder.write(ids, lengths, self._cache.layers, span, even=even))

    def _choose(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of hidden states (rows, width), (3, rows): the best token of each, its probability and its score.

        One tensor of float32, in which every id is exact, so that only one copy leaves the device.
        """
        logits = self._decoder.logits(hidden)
        best, tokens = logits.max(dim=-1, keepdim=True)
        weights = logits.sub_(best).exp_()  # the best token's is 1
        probability = 1 / weights.sum(dim=-1)
        location = tokens - self._first_location
        near = (self._bins - location).abs() <= round(_LOCATION_TOLERANCE * self._locations)
        places = weights[:, self._first_location : self._first_location + self._locations]
        mass = (places * near).sum(dim=-1) * probability
        location, tokens = location[:, 0], tokens[:, 0]
        score = torch.where((location >= 0) & (location < self._locations), mass, probability)
        return torch.stack((tokens.float(), probability, score.clamp(max=1.0)))

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            # Not of the whole device, which fails while a thread records a graph for another model there.
            torch.cuda.current_stream(self._device).synchronize()


def _chosen(columns: torch.Tensor) -> list[Chosen]:
    return [Chosen(int(token), probability, score) for token, probability, score in zip(*columns.tolist(), strict=True)]


def _slots_that_fit(row_bytes: int, device: torch.device) -> int:
    """How many rows to decode together: 8 on a CPU; on a GPU up to 32 in half of the memory that is left."""
    if device.type != "cuda":
        return 8
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(32, free // 2 // row_bytes))
