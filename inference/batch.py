"""The sequences that are decoded together: pixels and token ids in, the next token of each with its probability out.

Knows the model's submodules, and how PaliGemma masks and numbers positions. Knows no queue, no deadline and no text.
"""

import os
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference.memory import FeatureCache, SlotCache

MAX_PROMPT_TOKENS = 256
MAX_NEW_TOKENS = 512

_LOCATION_TOLERANCE = 0.025
"""How far, as a part of the picture's side, two places of an edge still count as the same when a place is scored."""

_FEATURE_CACHE_BYTES = 256 * 2**20

_SMALL_MODEL = 100_000_000


@dataclass(slots=True, eq=False)
class Sequence:
    """What one request brings, and where it stands. Only the batch's owner changes it.

    Attributes:
        input_ids: (1, length) with the image tokens and the prompt.
        pixel_values: (1, 3, height, width) as the processor made them.
        pixels_key: Hash of the pixels, under which their features are cached.
        length: How many positions of its slot are filled.
        last_token: The token that it wrote last.
        vision, prefill: Seconds that its picture and its prompt took.
    """

    input_ids: torch.Tensor
    pixel_values: torch.Tensor
    pixels_key: bytes
    length: int = 0
    last_token: int = 0
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
        model: In evaluation mode, on its device. One thread at a time may use the batch.
        processor: The model's own.
        slots: How many sequences are decoded together, or None for what the memory allows.
    """

    def __init__(
        self, model: PaliGemmaForConditionalGeneration, processor: PaliGemmaProcessor, *, slots: int | None
    ) -> None:
        self._model = model
        self._device = model.device
        config = model.config
        text = config.text_config
        self._image_token = config.image_token_id
        self._sliding_window: int | None = text.sliding_window
        self._softcap: float | None = text.final_logit_softcapping
        eos = model.generation_config.eos_token_id
        self.eos = frozenset([eos] if isinstance(eos, int) else eos or [processor.tokenizer.eos_token_id])
        """The tokens that end an answer."""
        vocabulary = processor.tokenizer.get_vocab()
        self._first_location = vocabulary["<loc0000>"]
        self._locations = vocabulary["<loc1023>"] - self._first_location + 1
        capacity = processor.image_seq_length + MAX_PROMPT_TOKENS + 2 + MAX_NEW_TOKENS
        dtype = model.get_input_embeddings().weight.dtype
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
        self._features = FeatureCache(_FEATURE_CACHE_BYTES)
        self.rows: list[S] = []

    @property
    def has_room(self) -> bool:
        """Whether one more can join."""
        return len(self.rows) < self._cache.slots

    @torch.inference_mode()
    def add(self, row: S) -> Chosen:
        """Reads a sequence's picture and prompt, takes it into the batch, and gives its first token."""
        started = time.perf_counter()
        features = self._features.get(row.pixels_key)
        if features is None:
            pixels = row.pixel_values.to(self._device, self._model.dtype)
            features = self._model.get_image_features(pixels).pooler_output
            self._synchronize()
            self._features.put(row.pixels_key, features)
        seen = time.perf_counter()
        row.vision = seen - started

        ids = row.input_ids.to(self._device)
        is_image = ids == self._image_token
        embeddings = self._model.get_input_embeddings()(ids.masked_fill(is_image, 0))
        embeddings = embeddings.masked_scatter(is_image.unsqueeze(-1), features.to(embeddings.dtype))
        length = ids.shape[1]
        # Image and prompt are one bidirectional block: every position sees every other, so there is no mask.
        hidden = self._model.model.language_model(
            inputs_embeds=embeddings,
            attention_mask={"full_attention": None, "sliding_attention": None},
            position_ids=torch.arange(1, length + 1, device=self._device).unsqueeze(0),
            past_key_values=self._cache.reading(len(self.rows), length),
            use_cache=True,
        ).last_hidden_state
        row.length = length
        self.rows.append(row)
        [chosen] = self._choose(hidden[:, -1:])
        row.last_token = chosen.id
        row.prefill = time.perf_counter() - seen
        return chosen

    @torch.inference_mode()
    def step(self) -> list[Chosen]:
        """The next token of every row, in the order of `rows`."""
        lengths = torch.tensor([row.length for row in self.rows], device=self._device)
        ids = torch.tensor([[row.last_token] for row in self.rows], device=self._device)
        span = max(row.length for row in self.rows) + 1
        hidden = self._model.model.language_model(
            inputs_embeds=self._model.get_input_embeddings()(ids),
            attention_mask=self._masks(lengths, span),
            position_ids=lengths.unsqueeze(1) + 1,
            past_key_values=self._cache.writing(lengths, span),
            use_cache=True,
        ).last_hidden_state
        chosen = self._choose(hidden)
        for row, token in zip(self.rows, chosen, strict=True):
            row.length += 1
            row.last_token = token.id
        return chosen

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
        """Gives the calling thread as many threads as are good for this model."""
        if self._device.type == "cpu":
            torch.set_num_threads(_threads(int(self._model.num_parameters())))

    def _masks(self, lengths: torch.Tensor, span: int) -> dict[str, torch.Tensor]:
        """Additive masks (rows, 1, 1, span): row i sees positions 0 … lengths[i], its new token's own the last."""
        positions = torch.arange(span, device=self._device)
        lowest = torch.finfo(self._cache.dtype).min
        hidden = positions > lengths.unsqueeze(1)
        full = torch.zeros(hidden.shape, dtype=self._cache.dtype, device=self._device).masked_fill_(hidden, lowest)
        full = full[:, None, None]
        if self._sliding_window is None or span <= self._sliding_window:
            return {"full_attention": full, "sliding_attention": full}
        far = positions <= (lengths - self._sliding_window).unsqueeze(1)
        return {"full_attention": full, "sliding_attention": full.masked_fill(far[:, None, None], lowest)}

    def _choose(self, hidden: torch.Tensor) -> list[Chosen]:
        """The best token of each row with its probability and score, from hidden states (rows, 1, width)."""
        logits = self._model.lm_head(hidden[:, -1]).float()
        if self._softcap is not None:
            logits = torch.tanh(logits / self._softcap) * self._softcap
        probabilities = logits.softmax(dim=-1)
        best, tokens = probabilities.max(dim=-1)
        bins = torch.arange(self._locations, device=self._device)
        location = tokens - self._first_location
        near = (bins - location.unsqueeze(1)).abs() <= round(_LOCATION_TOLERANCE * self._locations)
        places = probabilities[:, self._first_location : self._first_location + self._locations]
        mass = (places * near).sum(dim=-1)
        score = torch.where((location >= 0) & (location < self._locations), mass, best)
        columns = tokens.tolist(), best.tolist(), score.clamp(max=1.0).tolist()
        return [Chosen(*values) for values in zip(*columns, strict=True)]

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _threads(parameters: int) -> int:
    """How many threads a model on a CPU runs with: the cores that this process may use, but one for a small model.

    Every operation waits for its slowest thread; where each takes microseconds, and something else wants a core now
    and then, that wait is longer than the work.
    """
    if parameters < _SMALL_MODEL:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _slots_that_fit(row_bytes: int, device: torch.device) -> int:
    """How many rows to decode together: 8 on a CPU; on a GPU up to 32 in half of the memory that is left."""
    if device.type != "cuda":
        return 8
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(32, free // 2 // row_bytes))
