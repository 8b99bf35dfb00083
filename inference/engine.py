"""A picture and a prompt in, tokens and their probabilities out: the queue, the worker, and what happens when it fails.

Requests join and leave the running batch between decode steps, so a short answer does not wait for a long one. The
model is injected. How it is run stands in `inference.batch` and `inference.worker`; of tasks, boxes and languages it
knows nothing.
"""

import hashlib
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial

from PIL import Image
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference.batch import MAX_NEW_TOKENS, Batch
from inference.errors import InvalidInput, ModelUnavailable
from inference.finished import FinishedAnswers
from inference.generation import Event, Generation, Queued, Row, Started, TextStream, Token
from inference.memory import release_memory
from inference.queueing import Line
from inference.reading import Reader
from inference.sentences import Sentence
from inference.worker import Worker, is_lost_device

__all__ = ["Engine", "Event", "Generation", "Queued", "Started", "TextStream", "Token"]

logger = logging.getLogger(__name__)

DEATHS = 3
"""How many ends of its worker within a minute the engine mends by itself."""

MakeBatch = Callable[[], Batch[Row]]


class Engine:
    """Answers requests on one model, many at a time.

    Args:
        model: In evaluation mode, on its device. The engine's worker is the only one to run it.
        processor: The model's own.
        slots: How many requests are decoded together, or None for what the memory allows.
        queue_size: How many may wait for a slot.
        hang_seconds: How long one step may take before it is given up, with the requests in it.
        finished: Where complete answers are kept.
        make_batch: Makes what runs the model, at first and after each fault.
        broken: Is told, in a thread of the engine, when a new worker would not help: the model must be loaded again,
            or, if its argument is true, the device is lost for this process.
    """

    def __init__(
        self,
        model: PaliGemmaForConditionalGeneration,
        processor: PaliGemmaProcessor,
        *,
        slots: int | None = None,
        queue_size: int = 64,
        hang_seconds: float = 300.0,
        finished: FinishedAnswers | None = None,
        make_batch: MakeBatch | None = None,
        broken: Callable[[bool], None] | None = None,
    ) -> None:
        self._reader = Reader(processor)
        self._finished = finished or FinishedAnswers()
        self._make_batch: MakeBatch = make_batch or partial(Batch, model, processor, slots=slots)
        self._broken = broken
        self._on_gpu = model.device.type == "cuda"
        self._hang_seconds = hang_seconds
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._closed = threading.Event()
        self._mending = threading.Lock()
        self.restarts = 0
        """How often its worker had to be replaced."""
        batch = self._make_batch()
        self._line = Line(size=queue_size, slots=batch.slots)
        self._worker: Worker | None = self._start(batch)
        threading.Thread(target=self._watch, name="engine-watchdog", daemon=True).start()

    def submit(
        self,
        image: Image.Image,
        prompt: str,
        *,
        max_new_tokens: int = 128,
        deadline: float = 120.0,
        ignore_eos: bool = False,
        client: str = "",
        left: Callable[[], bool] | None = None,
    ) -> Generation:
        """Asks the model about a picture; returns at once.

        Args:
            image: RGB, any size; it is squashed to the model's square.
            prompt: Without `<image>`, `<bos>` and the final newline, which the processor adds.
            max_new_tokens: Where to cut the answer, at most `MAX_NEW_TOKENS`.
            deadline: Seconds from now after which the request fails.
            ignore_eos: Go on to `max_new_tokens` even if the model would end (for measuring); never taken from the
                answers that are kept.
            client: Who asks; clients take turns in the queue.
            left: Says whether nobody waits for the answer any more; it is cancelled then.

        Raises:
            InvalidInput: The prompt has more than `MAX_PROMPT_TOKENS` tokens, or max_new_tokens is not allowed.
            Busy: Too many wait already.
            ModelUnavailable: The engine was closed.
        """
        if not 1 <= max_new_tokens <= MAX_NEW_TOKENS:
            raise InvalidInput(
                Sentence(
                    "The number of new tokens can be from 1 to {most}; it was {count}.",
                    most=MAX_NEW_TOKENS,
                    count=max_new_tokens,
                )
            )
        self._line.check_open()
        input_ids = self._reader.prompt(prompt)
        pixel_values = self._reader.picture(image)
        pixels_key = hashlib.sha1(pixel_values.numpy().tobytes(), usedforsecurity=False).digest()
        limit = max_new_tokens.to_bytes(4, "little")
        row = Row(
            input_ids=input_ids,
            pixel_values=pixel_values,
            pixels_key=pixels_key,
            key=pixels_key + limit + prompt.encode("utf-8", "surrogatepass"),
            max_new_tokens=max_new_tokens,
            deadline=time.perf_counter() + deadline,
            ignore_eos=ignore_eos,
            client=client,
        )
        if not self._answer_again(row):
            self._line.join(row)
        return Generation(row, self._reader.text, left)

    @property
    def ready(self) -> bool:
        """Whether requests are being answered just now."""
        worker = self._worker
        return worker is not None and worker.is_alive and not self._closed.is_set()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        with self._line.changed:
            return len(self._line.waiting)

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        with self._line.changed:
            return len(self._line.taken)

    def drain(self, timeout: float) -> bool:
        """Refuses what waits and what comes, and lets what runs come to its end.

        Args:
            timeout: Seconds to wait for that at most.

        Returns:
            Whether everything that ran has ended.
        """
        self._line.close(ModelUnavailable(Sentence("The app is being shut down. Try again in a minute.")))
        return self._line.wait_until_empty(timeout)

    def close(self) -> None:
        """Ends the worker; requests in flight fail with a plain error."""
        self._closed.set()
        with self._mending:
            worker, self._worker = self._worker, None
        self._line.close(ModelUnavailable(Sentence("The model is being shut down. Try again in a minute.")))
        if worker is not None:
            worker.stop()
        self._line.fail_taken(ModelUnavailable(Sentence("The model was shut down before the answer was complete.")))
        if worker is not None:
            worker.join(10)  # one that hangs is left behind

    def _answer_again(self, row: Row) -> bool:
        """Answers with what was written before, if the same was asked; says whether it was."""
        tokens = None if row.ignore_eos else self._finished.get(row.key)
        if tokens is None:
            return False
        row.started = time.perf_counter()
        row.events.put(Started())
        for token in tokens:
            row.add(token)
        row.complete(cached=True)
        return True

    def _keep(self, row: Row) -> None:
        if not row.ignore_eos:
            self._finished.put(row.key, tuple(row.written))

    def _start(self, batch: Batch[Row]) -> Worker:
        worker = Worker(batch, self._line, finished=self._keep, died=self._mend)
        worker.start()
        return worker

    def _watch(self) -> None:
        """Looks after the worker: one that is stuck in a step, or gone without a word, is replaced."""
        while not self._closed.wait(min(1.0, self._hang_seconds / 4)):
            worker = self._worker
            if worker is None:
                continue
            if worker.stuck_for() > self._hang_seconds:
                self._mend(worker, TimeoutError(f"no step ended for {self._hang_seconds:g} s"))
            elif not worker.is_alive:
                self._mend(worker, RuntimeError("the worker is gone"))

    def _mend(self, worker: Worker, error: BaseException) -> None:
        """Ends what the worker had begun with a sentence, and puts another in its place; those in line stay there."""
        with self._mending:
            if worker is not self._worker:
                return  # somebody was faster, or the engine is closed
            self._worker = None
            logger.critical("the worker of the model ended: %s", type(error).__name__, exc_info=error)
            worker.stop()
            sentence = "The model failed while it wrote this answer, and is being started again. Try again in a minute."
            self._line.fail_taken(ModelUnavailable(Sentence(sentence)))
            self.restarts += 1
            now = time.perf_counter()
            self._deaths.append(now)
            often = len(self._deaths) == DEATHS and now - self._deaths[0] < 60
            # Whatever waits for a GPU that hangs hangs too, a new worker first.
            lost = is_lost_device(error) or (self._on_gpu and isinstance(error, TimeoutError))
            if not (often or lost):
                traceback.clear_frames(error.__traceback__)  # they hold memory that the next worker needs
                release_memory()
                try:
                    self._worker = self._start(self._make_batch())
                except Exception:
                    logger.exception("the model cannot go on")
        if self._worker is None:
            self._line.close(ModelUnavailable(Sentence("The model is being started again. Try again in a minute.")))
            if self._broken is not None:
                self._broken(lost)
