"""The thread that runs a model: requests join and leave its batch between steps, and each token is handed over.

A second one looks at the pictures of those in line, where the two do not hinder each other.

Knows what to do when a step fails or memory runs out. Knows no more of the model than its batch, and nothing of where
requests come from; when the thread itself ends, whoever started it is told.
"""

import functools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable

import torch

from inference.batch import Batch, Chosen
from inference.errors import Busy, ModelUnavailable, UserError
from inference.generation import Row, Started
from inference.queueing import Line, ended_early
from inference.sentences import Sentence

logger = logging.getLogger(__name__)

_CUDA = ("CUDA error: ", "CUDA driver error: ", "Triton Error [CUDA]: ")
"""How errors of a GPU begin: those of torch's own kernels, then those of compiled ones, which no class tells apart."""

_OUT_OF_MEMORY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", *(f"{sign}out of memory" for sign in _CUDA))
"""What libraries say that have no error of their own for it."""

STEPS_BETWEEN = 2
"""Steps between one request's joining and the next one's: enough for the shortest answers to be complete by then."""


class Worker:
    """Answers the requests of a line, many at a time.

    Args:
        batch: What it runs; nobody else may.
        line: Where its requests come from.
        finished: Is given every request that ends with a complete answer.
        died: Is called, in the thread that ends, if something goes wrong that no request can be blamed for.
    """

    def __init__(
        self,
        batch: Batch[Row],
        line: Line,
        *,
        finished: Callable[[Row], None],
        died: Callable[["Worker", BaseException], None],
    ) -> None:
        self._batch = batch
        self._line = line
        self._finished = finished
        self._died = died
        self._alone: deque[Row] = deque()  # those that are tried again with nothing beside them
        self._stopped = False
        self._stepping: float | None = None
        self._looking: float | None = None
        self._looks_ahead = batch.looks_ahead
        self._threads = [threading.Thread(target=self._run, args=(self._turn,), name="engine", daemon=True)]
        if self._looks_ahead:
            self._threads.append(
                threading.Thread(target=self._run, args=(self._look,), name="engine-vision", daemon=True)
            )

    def start(self) -> None:
        """Begins to answer."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tells it to end after the step that it is in; what it has taken is left to whoever stops it."""
        with self._line.changed:
            self._stopped = True
            self._line.changed.notify_all()

    def join(self, timeout: float) -> None:
        """Waits for its end."""
        end = time.perf_counter() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.perf_counter()))

    @property
    def is_alive(self) -> bool:
        """Whether its threads run."""
        return all(thread.is_alive() for thread in self._threads)

    def stuck_for(self) -> float:
        """Seconds since the step or look began that it is in; 0 between them."""
        now = time.perf_counter()
        return max(now - (began or now) for began in (self._stepping, self._looking))

    def _run(self, turn: Callable[[], bool]) -> None:
        try:
            self._batch.use_threads()
            while turn():
                pass
        except BaseException as error:  # whatever it is, somebody must know that nobody answers any more
            del self._batch  # whoever takes over needs its memory
            self._died(self, error)

    def _turn(self) -> bool:
        """At most one request joins, then every one in the batch is given its next tokens. Returns whether to go on."""
        with self._line.changed:
            self._line.changed.wait_for(lambda: self._stopped or self._alone or self._batch.rows or self._may_take())
            if self._stopped:
                return False
            # One prefill at most between steps: those that are being answered wait for no more than that.
            joining = self._joining()
        if joining is not None and not self._ended(joining):
            self._attempt([joining], functools.partial(self._begin, joining))
        for _ in range(STEPS_BETWEEN if joining is not None else 1):
            for row in list(self._batch.rows):
                self._ended(row)
            if self._batch.rows:
                self._attempt(list(self._batch.rows), self._step)
        self._line.sweep()
        self._alone = deque(row for row in self._alone if not self._ended(row))
        return True

    def _may_take(self) -> bool:
        return any(row.seen or not self._looks_ahead for row in self._line.waiting)

    def _look(self) -> bool:
        """Looks at the picture of one request in line. Returns whether to go on."""
        with self._line.changed:
            row = self._line.changed.wait_for(lambda: self._stopped or self._line.unseen())
            if self._stopped or not isinstance(row, Row):
                return False
        self._looking = time.perf_counter()
        try:
            self._batch.look(row)
        except Exception:  # when it is the request's turn it is tried again, with all that is done about failures
            logger.info("a picture could not be looked at ahead", exc_info=True)
        finally:
            self._looking = None
        self._line.saw(row)
        return True

    def _joining(self) -> Row | None:
        if self._alone or any(row.alone for row in self._batch.rows):
            return self._alone.popleft() if self._alone and not self._batch.rows else None
        return self._line.take(seen=self._looks_ahead) if self._batch.has_room else None

    def _begin(self, row: Row) -> None:
        if not row.started:
            row.started = time.perf_counter()
            row.events.put(Started())
        chosen = self._batch.add(row)
        row.prefilled = time.perf_counter()
        self._hand_over([row], [chosen])

    def _step(self) -> None:
        rows = list(self._batch.rows)
        self._hand_over(rows, self._batch.step())

    def _hand_over(self, rows: list[Row], tokens: list[Chosen]) -> None:
        """Gives the new tokens to their rows, and takes out the rows that are complete."""
        for row, chosen in zip(rows, tokens, strict=True):
            if not math.isfinite(chosen.probability):
                sentence = Sentence("The model's numbers grew beyond its precision. Run it with --dtype bfloat16.")
                self._fail([row], ModelUnavailable(sentence))
                continue
            ends = chosen.id in self._batch.eos and not row.ignore_eos
            if not ends:
                row.add(chosen)
            if ends or row.repeated >= row.max_new_tokens:
                self._finished(row)
                row.complete()
                self._remove(row)

    def _attempt(self, rows: list[Row], run: Callable[[], None]) -> None:
        """Runs a step of the batch; if it fails, the rows concerned are tried again or fail with a sentence.

        Raises:
            Exception: The device can do nothing any more.
        """
        self._stepping = time.perf_counter()
        try:
            run()
        except Exception as error:
            if is_lost_device(error):
                raise
            if is_out_of_memory(error):
                logger.warning("out of memory with %d requests in the batch", len(self._batch.rows), exc_info=True)
                self._try_alone(rows)
            else:
                logger.exception("the model failed")
                sentence = Sentence("The model failed on this request; the log says why. Try again.")
                self._fail(rows, ModelUnavailable(sentence))
        finally:
            self._stepping = None

    def _try_alone(self, rows: list[Row]) -> None:
        """Begins the rows anew, one after another with nothing beside them; those that were alone already fail."""
        sentence = Sentence("The machine ran out of memory for this request. Try again in a minute.")
        self._fail([row for row in rows if row.alone], Busy(sentence))
        for row in rows:
            if not row.alone:
                self._batch.remove(row)
                row.begin_anew()
                self._alone.append(row)

    def _fail(self, rows: list[Row], error: UserError) -> None:
        for row in rows:
            row.events.put(error)
            self._remove(row)
        self._batch.drop_caches()

    def _ended(self, row: Row) -> bool:
        if not ended_early(row):
            return False
        self._remove(row)
        return True

    def _remove(self, row: Row) -> None:
        self._batch.remove(row)
        self._line.done(row)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a request failed for lack of memory, on a GPU or beside it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)
    )


def is_lost_device(error: BaseException) -> bool:
    """Whether a GPU failed in a way after which this process cannot use it any more."""
    if is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _CUDA)
    )
