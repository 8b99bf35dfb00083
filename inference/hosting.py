"""Which models are there: loads them one after another in a thread of its own, and says how far that is.

Knows the states of models. Knows nothing of tasks, texts or pages.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal, Protocol

from inference.batch import Batch
from inference.checkpoints import Checkpoint, Choice, choose, find, pick_device
from inference.engine import Engine
from inference.errors import InvalidInput, ModelUnavailable, UserError
from inference.generation import Row
from inference.loading import LoadedModel, load
from inference.memory import release_memory
from inference.sentences import Sentence
from inference.settings import Settings
from inference.translation import Translators

logger = logging.getLogger(__name__)

AGAIN = Sentence("The model is being started again.")

CLOSING_SECONDS = 30.0
"""How long a load may take to end when the app does: a process that ends while torch works in a thread is aborted."""

State = Literal["waiting", "loading", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """How a model is doing.

    Attributes:
        name: As asked for, until it is loaded; then as it stands in results.
        state: "waiting" for its turn, "loading", "ready" or "failed".
        progress: 0 to 1, while it loads.
        detail: A sentence: what is being done, why this model was chosen, or why it could not be loaded.
        embedded: Whether it is the small checkpoint that the repository carries.
        device, dtype: Where and how it runs; empty until it is loaded.
        parameters: How many it has; 0 until it is loaded.
        mask_problem: Why it cannot draw masks, or None.
        asked: The name by which it was asked for, also when it is loaded.
    """

    name: str
    state: State
    progress: float = 0.0
    detail: str = ""
    embedded: bool = False
    device: str = ""
    dtype: str = ""
    parameters: int = 0
    mask_problem: str | None = None
    asked: str = ""


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A loaded model with what it takes to answer: its engine and its translators."""

    loaded: LoadedModel
    engine: Engine
    translators: Translators


class Load(Protocol):
    """Loads one model by name; see `inference.loading.load`, whose other arguments are bound already."""

    def __call__(self, name: str, *, progress: Callable[[float, str], None]) -> LoadedModel:
        """Loads the model of this name."""
        ...


class ModelHost:
    """Loads models in the background and hands them out.

    Args:
        choices: What to load and why, in this order; the first that is ready is the default.
        load: Loads one by name.
        translators: Makes the (lazily loaded) translators of a loaded model.
        queue_size: How many requests may wait for one model.
        hang_seconds: How long one step of a model may take before it is given up.
        lost: Is called when the GPU failed in a way that only a new process can mend.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        *,
        load: Load,
        translators: Callable[[LoadedModel], Translators],
        queue_size: int = 64,
        hang_seconds: float = 300.0,
        lost: Callable[[], None] | None = None,
    ) -> None:
        self._choices = list(choices)
        self._load = load
        self._translators = translators
        self._queue_size = queue_size
        self._hang_seconds = hang_seconds
        self._lost = lost
        self._lock = threading.Lock()
        self._statuses = [
            ModelStatus(choice.name, "waiting", detail=choice.reason, asked=choice.name) for choice in self._choices
        ]
        self._hosted: dict[str, HostedModel] = {}
        self._closed = self._draining = False
        self._loaders: list[threading.Thread] = []

    def start(self, *, with_translators: bool = False) -> None:
        """Begins to load; returns at once.

        Args:
            with_translators: Whether to download each model's translators too, once it is there. They are loaded by
                whoever first needs one either way.
        """
        self._in_background(partial(self._load_all, with_translators))

    def wait(self, timeout: float | None = None) -> None:
        """Waits until every model is ready or has failed, and what else was begun has ended.

        Args:
            timeout: Seconds to wait at most, or None.
        """
        end = None if timeout is None else time.monotonic() + timeout
        for loader in list(self._loaders):
            loader.join(None if end is None else max(0.0, end - time.monotonic()))

    def statuses(self) -> tuple[ModelStatus, ...]:
        """How every model is doing, in the order asked for."""
        with self._lock:
            return tuple(
                replace(status, state="loading", progress=0.0, detail=AGAIN)
                if status.state == "ready" and not self._hosted[status.name].engine.ready
                else status
                for status in self._statuses
            )

    def get(self, name: str | None = None) -> HostedModel:
        """A model that is ready.

        Args:
            name: As it stands in a status, or as it was asked for there; None for the default one.

        Raises:
            InvalidInput: There is no model of this name.
            ModelUnavailable: It is still loading, or it could not be loaded.
        """
        with self._lock:
            if name is None or name == "":
                for status in self._statuses:
                    if status.state == "ready":
                        return self._hosted[status.name]
                candidates = self._statuses[:1]
            else:
                named = [status for status in self._statuses if status.name == name]
                candidates = named or [status for status in self._statuses if status.asked == name]
            if not candidates:
                names = ", ".join(status.name for status in self._statuses)
                raise InvalidInput(
                    Sentence(
                        "There is no model “{name}” here. There are: {names}.", name=(name or "")[:80], names=names
                    )
                )
            status = candidates[0]
            if status.state == "ready":
                return self._hosted[status.name]
            if status.state == "failed":
                raise ModelUnavailable(status.detail)
            raise ModelUnavailable(
                Sentence(
                    "The model {name} is still loading ({percent}%). Try again soon.",
                    name=status.name,
                    percent=round(status.progress * 100),
                )
            )

    @property
    def ready(self) -> bool:
        """Whether a request can be answered just now."""
        return not self._draining and any(status.state == "ready" for status in self.statuses())

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines of the models that are loaded, by the models' names."""
        with self._lock:
            return {name: hosted.engine for name, hosted in self._hosted.items()}

    def drain(self, timeout: float) -> bool:
        """Refuses what waits and what comes, and lets what is being answered come to its end.

        Args:
            timeout: Seconds to wait for that at most.

        Returns:
            Whether everything has ended.
        """
        self._draining = True
        engines = self.engines.values()
        end = time.monotonic() + timeout
        for engine in engines:
            engine.drain(0)
        return all(engine.drain(max(0.0, end - time.monotonic())) for engine in engines)

    def close(self) -> None:
        """Stops the engines and the loading; what is in flight ends with a plain error."""
        with self._lock:
            self._closed = True
            hosted = list(self._hosted.values())
        for model in hosted:
            model.engine.close()
        self.wait(CLOSING_SECONDS)

    def _in_background(self, work: Callable[[], None]) -> None:
        loader = threading.Thread(target=work, name="model-loader", daemon=True)
        with self._lock:
            if not self._closed:
                self._loaders = [other for other in self._loaders if other.is_alive()] + [loader]
                loader.start()

    def _load_all(self, with_translators: bool) -> None:
        there: list[Translators] = []
        for index in range(len(self._choices)):
            self._load_one(index)
            with self._lock:
                hosted = self._hosted.get(self._statuses[index].name)
            if with_translators and hosted is not None and hosted.translators not in there:
                hosted.translators.download(self._log_progress)
                there.append(hosted.translators)

    def _load_one(self, index: int) -> None:
        if self._closed:
            return
        choice = self._choices[index]
        self._update(index, state="loading", progress=0.0, detail=Sentence("Loading {name}.", name=choice.name))
        logger.info("Loading %s. %s", choice.name, choice.reason)
        try:
            hosted = self._host(index, choice.name)
        except UserError as error:
            if not self._closed:
                logger.error("%s could not be loaded: %s", choice.name, error)
            if self._closed or choice.otherwise is None or choice.otherwise in {other.name for other in self._choices}:
                self._update(index, state="failed", detail=error.sentence)
            else:
                reason = Sentence.of(Sentence("The small embedded model runs."), error.sentence)
                self._choices[index] = Choice(choice.otherwise, reason)
                self._load_one(index)
        except Exception:
            logger.exception("%s could not be loaded", choice.name)
            sentence = Sentence("{name} could not be loaded; the log says why.", name=choice.name)
            self._update(index, state="failed", detail=sentence)
        else:
            with self._lock:
                if self._closed:
                    hosted.engine.close()
                    return
                self._hosted[hosted.loaded.name] = hosted
                self._statuses[index] = _ready(choice, hosted.loaded)
            logger.info(
                "%s is ready on %s after %.1f s", hosted.loaded.name, hosted.loaded.device, hosted.loaded.seconds
            )

    def _host(self, index: int, name: str) -> HostedModel:
        def progress(fraction: float, what: str) -> None:
            self._log_progress(fraction, what)
            with self._lock:
                loading = self._statuses[index].state == "loading"
            if loading:  # an engine that makes a new batch after a fault is ready all the while
                self._update(index, progress=fraction, detail=what)

        def make_batch() -> Batch[Row]:
            batch: Batch[Row] = Batch(loaded.model, loaded.processor, slots=None)
            batch.warm_up(progress)
            return batch

        loaded = self._load(name, progress=progress)
        engine = Engine(
            loaded.model,
            loaded.processor,
            queue_size=self._queue_size,
            hang_seconds=self._hang_seconds,
            make_batch=make_batch,
            broken=partial(self._broke, index),
        )
        return HostedModel(loaded, engine, self._translators(loaded))

    def _log_progress(self, fraction: float, what: str) -> None:
        """Logs how far something is; while the app is being closed, ends it, and what is there in part is deleted.

        Raises:
            ModelUnavailable: The app is being closed.
        """
        if self._closed:
            raise ModelUnavailable(Sentence("The app is being shut down."))
        logger.info("%3.0f %%  %s", fraction * 100, what)

    def _broke(self, index: int, lost_device: bool) -> None:
        """An engine cannot go on. It tells so in a thread of its own, which it may have to end: so in another here."""
        self._update(index, state="loading", progress=0.0, detail=AGAIN)
        if lost_device and self._lost is not None:
            logger.critical("The GPU failed in a way that only a new process can mend.")
            self._lost()
        else:
            self._in_background(partial(self._load_again, index))

    def _load_again(self, index: int) -> None:
        with self._lock:
            old = self._hosted.pop(self._statuses[index].name, None)
            if self._closed:
                return
        if old is not None:
            old.engine.close()
        del old
        release_memory()
        self._load_one(index)

    def _update(self, index: int, **changes: object) -> None:
        with self._lock:
            self._statuses[index] = replace(self._statuses[index], **changes)  # type: ignore[arg-type]


def _ready(choice: Choice, loaded: LoadedModel) -> ModelStatus:
    return ModelStatus(
        name=loaded.name,
        state="ready",
        progress=1.0,
        detail=choice.reason,
        embedded=loaded.embedded,
        device=str(loaded.device),
        dtype=str(loaded.dtype).removeprefix("torch."),
        parameters=loaded.parameters,
        mask_problem=loaded.mask_problem,
        asked=choice.name,
    )


def _each_once(choices: Sequence[Choice]) -> list[Choice]:
    """The choices without those that mean a checkpoint that another means too, as `auto` and `demo` may.

    Raises:
        ModelUnavailable: Two different checkpoints have one name.
    """
    found: dict[str, Checkpoint] = {}
    kept = []
    for choice in choices:
        try:
            checkpoint = find(choice.name)
        except ModelUnavailable:  # which loading it says
            kept.append(choice)
            continue
        if checkpoint.name not in found:
            found[checkpoint.name] = checkpoint
            kept.append(choice)
        elif found[checkpoint.name] != checkpoint:
            raise ModelUnavailable(
                Sentence("Two of the models are called {name}: rename one of the folders.", name=checkpoint.name)
            )
    return kept


def host_models(settings: Settings, *, lost: Callable[[], None] | None = None) -> ModelHost:
    """The models that the settings ask for, not loaded yet.

    Args:
        settings: How the app was started.
        lost: Is called when the GPU failed in a way that only a new process can mend.

    Raises:
        ModelUnavailable: There is no such device, or two different models have one name.
    """
    device = pick_device(settings.device)
    dtype, quantize = settings.dtype, settings.quantize

    @cache
    def translators(sources: tuple[tuple[str, str], ...]) -> Translators:  # models with the same ones share them
        return Translators(dict(sources), device=device)

    return ModelHost(
        _each_once([choose(name, device=device, dtype=dtype, quantize=quantize) for name in settings.models]),
        load=partial(load, device=device, dtype=dtype, quantize=quantize),
        translators=lambda loaded: translators(tuple(loaded.translators.items())),
        queue_size=settings.max_queue,
        hang_seconds=settings.hang_seconds,
        lost=lost,
    )
