"""A picture and a prompt in, tokens and their probabilities out: the queue, and the one worker that owns a model.

Requests join and leave the running batch between decode steps, so a short answer does not wait for a long one. The
model is injected. Knows deadlines, cancelling and faults; how the model is run stands in `inference.batch`, and of
tasks, boxes and languages it knows nothing.
"""

import functools
import hashlib
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from PIL import Image
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference.batch import MAX_NEW_TOKENS, MAX_PROMPT_TOKENS, Batch, Chosen, Sequence
from inference.errors import Busy, Cancelled, DeadlineExceeded, InvalidInput, ModelUnavailable, UserError
from inference.types import Timing

logger = logging.getLogger(__name__)


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


@dataclass(slots=True, eq=False, kw_only=True)
class _Row(Sequence):
    """A request on its way through the engine. Only the worker changes it, apart from `cancelled`."""

    max_new_tokens: int
    deadline: float
    ignore_eos: bool
    events: "queue.SimpleQueue[Queued | Started | Chosen | UserError | Timing]" = field(
        default_factory=queue.SimpleQueue
    )
    cancelled: threading.Event = field(default_factory=threading.Event)
    tokens: int = 0
    submitted: float = field(default_factory=time.perf_counter)
    started: float = 0.0
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
            if isinstance(event, Chosen):
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
        self._batch: Batch[_Row] = Batch(model, processor, slots=slots)
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
        self._batch.use_threads()
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
                self._attempt([joining], functools.partial(self._begin, joining))
            for row in [row for row in self._batch.rows if _ended_early(row)]:
                self._batch.remove(row)
            if self._batch.rows:
                self._attempt(list(self._batch.rows), self._step)
            with self._wake:
                self._waiting = deque(row for row in self._waiting if not _ended_early(row))

    def _begin(self, row: _Row) -> None:
        row.started = time.perf_counter()
        row.events.put(Started())
        chosen = self._batch.add(row)
        row.prefilled = time.perf_counter()
        self._hand_over([row], [chosen])

    def _step(self) -> None:
        rows = list(self._batch.rows)
        self._hand_over(rows, self._batch.step())

    def _hand_over(self, rows: list[_Row], tokens: list[Chosen]) -> None:
        """Gives the new tokens to their rows, and takes out the rows that are complete."""
        now = time.perf_counter()
        for row, chosen in zip(rows, tokens, strict=True):
            ends = chosen.id in self._batch.eos and not row.ignore_eos
            if not ends:
                row.tokens += 1
                row.events.put(chosen)
            if ends or row.tokens >= row.max_new_tokens:
                row.events.put(row.timing(now))
                self._batch.remove(row)

    def _attempt(self, rows: list[_Row], run: Callable[[], None]) -> None:
        """Runs a step of the batch; if it fails, the rows concerned fail with a sentence and the worker lives on."""
        try:
            run()
        except torch.OutOfMemoryError:
            logger.exception("out of memory")
            self._fail(rows, Busy("The machine ran out of memory for this request. Try again in a minute."))
        except Exception:
            logger.exception("the model failed")
            self._fail(rows, ModelUnavailable("The model failed on this request; the log says why. Try again."))

    def _fail(self, rows: list[_Row], error: UserError) -> None:
        for row in rows:
            self._batch.remove(row)
            row.events.put(error)
        self._batch.drop_caches()


def _ended_early(row: _Row) -> bool:
    """Whether a row was cancelled or took too long; tells it so if it was."""
    if row.cancelled.is_set():
        row.events.put(Cancelled("The request was stopped."))
        return True
    if time.perf_counter() > row.deadline:
        row.events.put(DeadlineExceeded("The answer took too long and was stopped. Ask for less, or try again later."))
        return True
    return False
