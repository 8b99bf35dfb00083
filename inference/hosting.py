"""Which models are there: loads them one after another in a thread of its own, and says how far that is.

Knows the states of models. Knows nothing of tasks, texts or pages.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

from inference import checkpoints
from inference.checkpoints import Choice, LoadedModel
from inference.engine import Engine
from inference.errors import InvalidInput, ModelUnavailable, UserError
from inference.settings import Settings
from inference.translation import Translators

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A loaded model with what it takes to answer: its engine and its translators."""

    loaded: LoadedModel
    engine: Engine
    translators: Translators


class Load(Protocol):
    """Loads one model by name; see `inference.checkpoints.load`, whose other arguments are bound already."""

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
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        *,
        load: Load,
        translators: Callable[[LoadedModel], Translators],
        queue_size: int = 64,
    ) -> None:
        self._choices = tuple(choices)
        self._load = load
        self._translators = translators
        self._queue_size = queue_size
        self._lock = threading.Lock()
        self._statuses = [ModelStatus(choice.name, "waiting", detail=choice.reason) for choice in self._choices]
        self._hosted: dict[str, HostedModel] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._load_all, name="model-loader", daemon=True)

    def start(self) -> None:
        """Begins to load; returns at once."""
        self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Waits until every model is ready or has failed.

        Args:
            timeout: Seconds to wait at most, or None.
        """
        self._thread.join(timeout)

    def statuses(self) -> tuple[ModelStatus, ...]:
        """How every model is doing, in the order asked for."""
        with self._lock:
            return tuple(self._statuses)

    def get(self, name: str | None = None) -> HostedModel:
        """A model that is ready.

        Args:
            name: As it stands in a status, or None for the default one.

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
                candidates = [status for status in self._statuses if status.name == name]
            if not candidates:
                names = ", ".join(status.name for status in self._statuses)
                raise InvalidInput(f"There is no model “{(name or '')[:80]}” here. There is: {names}.")
            status = candidates[0]
            if status.state == "ready":
                return self._hosted[status.name]
            if status.state == "failed":
                raise ModelUnavailable(status.detail)
            raise ModelUnavailable(f"The model {status.name} is still loading ({status.progress:.0%}). Try again soon.")

    def close(self) -> None:
        """Stops the engines; what is in flight ends with a plain error."""
        with self._lock:
            self._closed = True
            hosted = list(self._hosted.values())
        for model in hosted:
            model.engine.close()

    def _load_all(self) -> None:
        for index, choice in enumerate(self._choices):
            self._update(index, state="loading", detail=f"Loading {choice.name}.")
            logger.info("Loading %s. %s", choice.name, choice.reason)
            try:
                hosted = self._host(index, choice.name)
            except UserError as error:
                logger.error("%s could not be loaded: %s", choice.name, error)
                self._update(index, state="failed", detail=str(error))
            except Exception:
                logger.exception("%s could not be loaded", choice.name)
                self._update(index, state="failed", detail=f"{choice.name} could not be loaded; the log says why.")
            else:
                with self._lock:
                    if self._closed:
                        hosted.engine.close()
                        return
                    self._hosted[hosted.loaded.name] = hosted
                    loaded = hosted.loaded
                    self._statuses[index] = ModelStatus(
                        name=loaded.name,
                        state="ready",
                        progress=1.0,
                        detail=choice.reason,
                        embedded=loaded.embedded,
                        device=str(loaded.device),
                        dtype=str(loaded.dtype).removeprefix("torch."),
                        parameters=loaded.parameters,
                        mask_problem=loaded.mask_problem,
                    )
                logger.info("%s is ready on %s after %.1f s", loaded.name, loaded.device, loaded.seconds)

    def _host(self, index: int, name: str) -> HostedModel:
        def progress(fraction: float, what: str) -> None:
            self._update(index, progress=fraction, detail=what)
            logger.info("%3.0f %%  %s", fraction * 100, what)

        loaded = self._load(name, progress=progress)
        engine = Engine(loaded.model, loaded.processor, queue_size=self._queue_size)
        return HostedModel(loaded, engine, self._translators(loaded))

    def _update(self, index: int, **changes: object) -> None:
        with self._lock:
            self._statuses[index] = replace(self._statuses[index], **changes)  # type: ignore[arg-type]


def host_models(settings: Settings) -> ModelHost:
    """The models that the settings ask for, not loaded yet.

    Raises:
        ModelUnavailable: There is no such device.
    """
    device = checkpoints.pick_device(settings.device)
    return ModelHost(
        [checkpoints.choose(name, device=device) for name in settings.models],
        load=partial(checkpoints.load, device=device, dtype=settings.dtype, quantize=settings.quantize),
        translators=lambda loaded: Translators(loaded.translators, device=loaded.device),
        queue_size=settings.max_queue,
    )
