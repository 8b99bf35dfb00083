"""Pixels and a prompt in, tokens and their probabilities out: the one worker that owns a model.

Requests join and leave the running batch between decode steps, so a short answer does not wait for a long one. The
model is injected; the engine knows its submodules and how PaliGemma masks and numbers positions, and knows nothing of
tasks, boxes or languages.
"""

import functools
import hashlib
import itertools
import logging
import math
import os
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference.errors import Busy, Cancelled, DeadlineExceeded, InvalidInput, ModelUnavailable, UserError
from inference.types import Timing

logger = logging.getLogger(__name__)

MAX_PROMPT_TOKENS = 256
MAX_NEW_TOKENS = 512

_LOCATION_TOLERANCE = 0.025
"""How far, as a part of the picture's side, two places of an edge still count as the same when a place is scored."""

_FEATURE_CACHE_BYTES = 256 * 2**20

_SMALL_MODEL = 100_000_000


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits.

    Attributes:
        ahead: How many wait before it.
    """

    ahead: int


@dataclass(frozen=True, slots=True)
class Started:
    """The request left the queue, the model looks at the picture."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token that the model wrote.

    Attributes:
        id: Its number in the vocabulary.
        text: What it adds to the output; a character of several tokens comes with the last of them.
        probability: 0 to 1, of this very token.
        score: The same; but for a location token, which competes with its neighbours, the probability of all
            location tokens within 2.5 % of the picture's side.
    """

    id: int
    text: str
    probability: float
    score: float


Event = Queued | Started | Token


@dataclass(frozen=True, slots=True)
class _Written:
    """A token as it leaves the worker, which does not spend its time on text."""

    id: int
    probability: float
    score: float


@dataclass(slots=True, eq=False)
class _Row:
    """A request on its way through the engine. Only the worker changes it, apart from `cancelled`."""

    input_ids: torch.Tensor
    pixel_values: torch.Tensor
    pixels_key: bytes
    max_new_tokens: int
    deadline: float
    ignore_eos: bool
    events: "queue.SimpleQueue[Queued | Started | _Written | UserError | Timing]" = field(
        default_factory=queue.SimpleQueue
    )
    cancelled: threading.Event = field(default_factory=threading.Event)
    length: int = 0
    tokens: int = 0
    last_token: int = 0
    submitted: float = field(default_factory=time.perf_counter)
    started: float = 0.0
    vision: float = 0.0
    prefill: float = 0.0
    prefilled: float = 0.0

    def timing(self, now: float) -> Timing:
        return Timing(
            queue=(self.started or now) - self.submitted,
            vision=self.vision,
            prefill=self.prefill,
            decode=now - self.prefilled if self.prefilled else 0.0,
            total=now - self.submitted,
            tokens=self.tokens,
        )


class Generation:
    """The answer to one request as it is written.

    Iterate for what happens: `Queued` while it waits, `Started`, then a `Token` for each that the model writes.
    Iterating raises the `UserError` that ended the request early, if one did. Leaving the loop does not cancel.
    """

    def __init__(self, row: _Row, decode: Callable[[list[int]], str]) -> None:
        self._row = row
        self._text = TextStream(decode)
        self.timing = Timing()
        """How long the stages took; complete once the iteration has ended."""

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._row.events.get()
            if isinstance(event, Timing):
                self.timing = event
                return
            if isinstance(event, UserError):
                raise event
            if isinstance(event, _Written):
                yield Token(event.id, self._text.add(event.id), event.probability, event.score)
            else:
                yield event

    def cancel(self) -> None:
        """Ends the request before its next token; its slot is free within one step."""
        self._row.cancelled.set()


class TextStream:
    """Turns ids into text one by one: a piece of text comes with the id that completes its last character."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._context: list[int] = []
        self._new: list[int] = []

    def add(self, token: int) -> str:
        """The text that this id adds, in the company of those before it."""
        self._new.append(token)
        text = self._decode(self._context + self._new)
        if text.endswith("\ufffd"):  # the bytes of a character that is not complete yet
            return ""
        # What comes next may be spaced and joined by what came just before, so that much is kept as its context.
        piece = text[len(self._decode(self._context)) :]
        self._context, self._new = self._new, []
        return piece


class Engine:
    """Answers requests on one model, many at a time.

    Args:
        model: In evaluation mode, on its device. The engine's worker is the only one to run it.
        processor: The model's own.
        slots: How many requests are decoded together, or None for what the memory allows.
        queue_size: How many may wait for a slot.
    """

    def __init__(
        self,
        model: PaliGemmaForConditionalGeneration,
        processor: PaliGemmaProcessor,
        *,
        slots: int | None = None,
        queue_size: int = 64,
    ) -> None:
        self._processor = processor
        self._processor_lock = threading.Lock()  # a fast tokenizer must not be used by two threads at once
        self._queue_size = queue_size
        self._waiting: deque[_Row] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._batch = _Batch(model, processor, slots=slots)
        self._worker = threading.Thread(target=self._work, name="engine", daemon=True)
        self._worker.start()

    def submit(
        self,
        image: Image.Image,
        prompt: str,
        *,
        max_new_tokens: int = 128,
        deadline: float = 120.0,
        ignore_eos: bool = False,
    ) -> Generation:
        """Asks the model about a picture; returns at once.

        Args:
            image: RGB, any size; it is squashed to the model's square.
            prompt: Without `<image>`, `<bos>` and the final newline, which the processor adds.
            max_new_tokens: Where to cut the answer, at most `MAX_NEW_TOKENS`.
            deadline: Seconds from now after which the request fails.
            ignore_eos: Go on to `max_new_tokens` even if the model would end (for measuring).

        Raises:
            InvalidInput: The prompt has more than `MAX_PROMPT_TOKENS` tokens, or max_new_tokens is not allowed.
            Busy: Too many wait already.
            ModelUnavailable: The engine was closed.
        """
        if not 1 <= max_new_tokens <= MAX_NEW_TOKENS:
            raise InvalidInput(f"The number of new tokens can be from 1 to {MAX_NEW_TOKENS}; it was {max_new_tokens}.")
        with self._processor_lock:
            prompt_tokens = len(self._processor.tokenizer(prompt)["input_ids"])
            if prompt_tokens > MAX_PROMPT_TOKENS:
                raise InvalidInput(
                    f"The prompt is {prompt_tokens} tokens long; at most {MAX_PROMPT_TOKENS} are allowed. Shorten it."
                )
            inputs = self._processor(images=image, text=f"<image>{prompt}", return_tensors="pt")
        pixel_values = inputs["pixel_values"]
        row = _Row(
            input_ids=inputs["input_ids"],
            pixel_values=pixel_values,
            pixels_key=hashlib.sha1(pixel_values.numpy().tobytes(), usedforsecurity=False).digest(),
            max_new_tokens=max_new_tokens,
            deadline=time.perf_counter() + deadline,
            ignore_eos=ignore_eos,
        )
        with self._wake:
            if self._closed:
                raise ModelUnavailable("The model is being shut down. Try again in a minute.")
            if len(self._waiting) >= self._queue_size:
                raise Busy(f"{len(self._waiting)} requests are waiting already. Try again in a minute.")
            row.events.put(Queued(len(self._waiting)))
            self._waiting.append(row)
            self._wake.notify()
        return Generation(row, self._decode)

    def close(self) -> None:
        """Ends the worker; requests in flight fail with a plain error."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._worker.join()

    def _decode(self, ids: list[int]) -> str:
        with self._processor_lock:
            return str(self._processor.tokenizer.decode(ids, skip_special_tokens=True))

    def _work(self) -> None:
        if self._batch.on_cpu:
            torch.set_num_threads(_threads(self._batch.parameters))
        while True:
            with self._wake:
                while not (self._closed or self._waiting or self._batch.rows):
                    self._wake.wait()
                if self._closed:
                    for row in itertools.chain(self._waiting, self._batch.rows):
                        row.events.put(ModelUnavailable("The model was shut down before the answer was complete."))
                    return
                # One prefill at most between two steps: those that are being answered wait for no more than that.
                joining = self._waiting.popleft() if self._waiting and self._batch.has_room else None
                if joining is not None:
                    for ahead, other in enumerate(self._waiting):
                        other.events.put(Queued(ahead))
            if joining is not None and not _ended_early(joining):
                self._attempt([joining], functools.partial(self._batch.add, joining))
            self._batch.drop_ended_early()
            if self._batch.rows:
                self._attempt(list(self._batch.rows), self._batch.step)
            with self._wake:
                self._waiting = deque(row for row in self._waiting if not _ended_early(row))

    def _attempt(self, rows: list[_Row], run: Callable[[], None]) -> None:
        """Runs a step of the batch; if it fails, the rows concerned fail with a sentence and the worker lives on."""
        try:
            run()
        except torch.OutOfMemoryError:
            logger.exception("out of memory")
            self._batch.recover(rows)
            for row in rows:
                row.events.put(Busy("The machine ran out of memory for this request. Try again in a minute."))
        except Exception:
            logger.exception("the model failed")
            self._batch.recover(rows)
            for row in rows:
                row.events.put(ModelUnavailable("The model failed on this request; the log says why. Try again."))


class _Batch:
    """The rows that are decoded together and the memory of what they have read and written.

    Rows 0 … n-1 of the cache are the ones in use: when one leaves, the last takes its place, so that a step touches
    no memory of rows that are not there.
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
        self._eos = frozenset([eos] if isinstance(eos, int) else eos or [processor.tokenizer.eos_token_id])
        vocabulary = processor.tokenizer.get_vocab()
        self._first_location = vocabulary["<loc0000>"]
        self._locations = vocabulary["<loc1023>"] - self._first_location + 1
        capacity = processor.image_seq_length + MAX_PROMPT_TOKENS + 2 + MAX_NEW_TOKENS
        dtype = model.get_input_embeddings().weight.dtype
        row_bytes = 2 * text.num_hidden_layers * text.num_key_value_heads * capacity * text.head_dim * dtype.itemsize
        self._cache = _SlotCache(
            layers=text.num_hidden_layers,
            slots=slots or _slots_that_fit(row_bytes, self._device),
            heads=text.num_key_value_heads,
            capacity=capacity,
            head_dim=text.head_dim,
            dtype=dtype,
            device=self._device,
        )
        self._features = _FeatureCache(_FEATURE_CACHE_BYTES)
        self.rows: list[_Row] = []

    @property
    def on_cpu(self) -> bool:
        return bool(self._device.type == "cpu")

    @property
    def parameters(self) -> int:
        return int(self._model.num_parameters())

    @property
    def has_room(self) -> bool:
        return len(self.rows) < self._cache.slots

    @torch.inference_mode()
    def add(self, row: _Row) -> None:
        """Reads a row's picture and prompt, and writes its first token."""
        row.started = time.perf_counter()
        row.events.put(Started())
        features = self._features.get(row.pixels_key)
        if features is None:
            pixels = row.pixel_values.to(self._device, self._model.dtype)
            features = self._model.get_image_features(pixels).pooler_output
            self._synchronize()
            self._features.put(row.pixels_key, features)
        seen = time.perf_counter()
        row.vision = seen - row.started

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
        token = self._choose(hidden[:, -1:])
        row.prefilled = time.perf_counter()
        row.prefill = row.prefilled - seen
        self._write(token, first=len(self.rows) - 1)

    @torch.inference_mode()
    def step(self) -> None:
        """Writes the next token of every row."""
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
        for row in self.rows:
            row.length += 1
        self._write(self._choose(hidden), first=0)

    def drop_ended_early(self) -> None:
        """Takes out the rows that were cancelled or took too long."""
        for row in [row for row in self.rows if _ended_early(row)]:
            self._remove(row)

    def recover(self, rows: list[_Row]) -> None:
        """Takes out rows that failed and lets go of memory that can be made anew."""
        self._features.clear()
        for row in rows:
            if row in self.rows:
                self._remove(row)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

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

    def _choose(self, hidden: torch.Tensor) -> list[tuple[int, float, float]]:
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
        return list(zip(tokens.tolist(), best.tolist(), score.clamp(max=1.0).tolist(), strict=True))

    def _write(self, chosen: list[tuple[int, float, float]], *, first: int) -> None:
        """Hands the new tokens to the rows from `first` on, and takes out the rows that are complete."""
        now = time.perf_counter()
        complete = []
        for row, (token, probability, score) in zip(self.rows[first:], chosen, strict=True):
            row.last_token = token
            ends = token in self._eos and not row.ignore_eos
            if not ends:
                row.tokens += 1
                row.events.put(_Written(token, probability, score))
            if ends or row.tokens >= row.max_new_tokens:
                complete.append(row)
        for row in complete:
            row.events.put(row.timing(now))
            self._remove(row)

    def _remove(self, row: _Row) -> None:
        index = self.rows.index(row)
        last = self.rows.pop()
        if last is not row:
            self._cache.move(len(self.rows), index, last.length)
            self.rows[index] = last

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class _SlotCache:
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

    def __init__(self, cache: _SlotCache, slot: int, length: int) -> None:
        self._cache, self._slot, self._length = cache, slot, length

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores keys and values (1, heads, length, head_dim) and gives them back: a prompt sees only itself."""
        self._cache.keys[layer][self._slot, :, : self._length] = keys[0]
        self._cache.values[layer][self._slot, :, : self._length] = values[0]
        return keys, values


class _WritingView:
    """The same for one new token a row."""

    def __init__(self, cache: _SlotCache, lengths: torch.Tensor, span: int) -> None:
        self._cache, self._lengths, self._span = cache, lengths, span
        self._rows = torch.arange(len(lengths), device=lengths.device)

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores keys and values (rows, heads, 1, head_dim); gives all of the rows' so far, (rows, heads, span, …)."""
        stored = []
        for tensor, new in ((self._cache.keys[layer], keys), (self._cache.values[layer], values)):
            tensor[self._rows, :, self._lengths] = new[:, :, 0]
            stored.append(tensor[: len(self._rows), :, : self._span])
        return stored[0], stored[1]


class _FeatureCache:
    """Image features by the hash of the pixels, the least recently used dropped beyond a size in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._features: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def get(self, key: bytes) -> torch.Tensor | None:
        features = self._features.get(key)
        if features is not None:
            self._features.move_to_end(key)
        return features

    def put(self, key: bytes, features: torch.Tensor) -> None:
        self._features[key] = features
        self._bytes += features.nbytes
        while self._bytes > self._max_bytes and len(self._features) > 1:
            _, dropped = self._features.popitem(last=False)
            self._bytes -= dropped.nbytes

    def clear(self) -> None:
        self._features.clear()
        self._bytes = 0


def _ended_early(row: _Row) -> bool:
    """Whether a row was cancelled or took too long; tells it so if it was."""
    if row.cancelled.is_set():
        row.events.put(Cancelled("The request was stopped."))
        return True
    if time.perf_counter() > row.deadline:
        row.events.put(DeadlineExceeded("The answer took too long and was stopped. Ask for less, or try again later."))
        return True
    return False


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
