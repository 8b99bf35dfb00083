"""What becomes of a model that fails while it serves: loaded again, or given up with the process."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from inference.checkpoints import Choice
from inference.engine import DEATHS, Token
from inference.errors import ModelUnavailable
from inference.hosting import ModelHost, host_models
from inference.hub import Hub
from inference.linear import Int8Linear
from inference.loading import LoadedModel
from inference.settings import Settings
from inference.translation import Translators
from tests.support.hub import StandInHub
from tests.support.tiny import tiny_loaded, tiny_model, tiny_processor


class Loader:
    """Loads tiny models, the second and later ones only when it is let.

    Attributes:
        go: Lets it.
        again: Set when a second one is asked for.
        fault: What is raised when a model reads a prompt; only the first model has it.
    """

    def __init__(self, fault: BaseException) -> None:
        self.go, self.again = threading.Event(), threading.Event()
        self.fault: BaseException | None = fault

    def __call__(self, name: str, *, progress: Callable[[float, str], None]) -> LoadedModel:
        processor = tiny_processor()
        model = tiny_model(processor)
        fault, self.fault = self.fault, None
        if fault is None:
            self.again.set()
            assert self.go.wait(60)
        else:

            def fail(*_: object) -> None:
                raise fault

            model.model.language_model.layers[0].mlp.act_fn.register_forward_hook(fail)
        return tiny_loaded(name, model=model, processor=processor)


def host_of(loader: Loader, lost: Callable[[], None] | None = None) -> ModelHost:
    host = ModelHost([Choice("tiny", "asked for")], load=loader, translators=lambda _: None, lost=lost)  # type: ignore
    host.start()
    host.wait(60)
    return host


def ask(host: ModelHost, seed: int) -> list[Token]:
    generation = host.get().engine.submit(Image.new("RGB", (8, 8), (seed, 0, 0)), "cap en", max_new_tokens=4)
    return [event for event in generation if isinstance(event, Token)]


def test_a_model_that_fails_again_and_again_is_loaded_again_and_not_ready_meanwhile() -> None:
    loader = Loader(SystemExit())
    host = host_of(loader)
    assert host.ready
    for seed in range(DEATHS):
        with pytest.raises(ModelUnavailable, match="being started again"):
            ask(host, seed)

    assert loader.again.wait(60)
    assert not host.ready
    assert host.statuses()[0].state == "loading"
    with pytest.raises(ModelUnavailable, match="loading"):
        host.get("tiny")
    loader.go.set()
    host.wait(60)

    assert host.ready
    assert ask(host, 0)
    host.close()


def test_a_lost_device_is_given_up_with_the_process() -> None:
    lost = threading.Event()
    loader = Loader(torch.AcceleratorError("an illegal memory access was encountered", 700))
    host = host_of(loader, lost.set)
    with pytest.raises(ModelUnavailable):
        ask(host, 0)

    assert lost.wait(30)
    assert not host.ready
    assert host.statuses()[0].state == "loading"
    assert not loader.again.is_set()
    host.close()


def test_when_the_app_ends_a_download_does_too() -> None:
    begun = threading.Event()

    def download(name: str, *, progress: Callable[[float, str], None]) -> LoadedModel:
        while True:
            progress(0.5, "Downloading 2 of 4 GB")
            begun.set()

    host = ModelHost([Choice("large", "asked for")], load=download, translators=lambda _: None)  # type: ignore
    host.start()
    assert begun.wait(30)
    host.close()

    assert host.statuses()[0].state == "failed"
    assert "model-loader" not in {thread.name for thread in threading.enumerate()}


def test_translators_are_downloaded_once_the_models_are_there(tmp_path: Path) -> None:
    with StandInHub() as stand_in:
        stand_in.add("Helsinki-NLP/opus-mt-en-es", Path(__file__).parents[2] / "assets/translation-en-es")
        hub = Hub(endpoint=stand_in.url, cache=tmp_path, token="", timeout=5)
        translators = Translators({"en-es": "Helsinki-NLP/opus-mt-en-es"}, device=torch.device("cpu"), hub=hub)
        host = ModelHost(
            [Choice("tiny", "asked for")], load=Loader(ValueError("not used")), translators=lambda _: translators
        )
        host.start(with_translators=True)
        host.wait(60)
    assert host.ready
    assert host.get().translators.translate("en-es", ["a red star"]) == ["una estrella roja"]
    host.close()


def test_where_the_best_model_cannot_be_loaded_the_one_to_fall_back_on_is_and_says_why() -> None:
    tiny = Loader(ValueError("not used"))

    def load(name: str, *, progress: Callable[[float, str], None]) -> LoadedModel:
        if name == "large":
            raise ModelUnavailable("The disk is full.")
        return tiny(name, progress=progress)

    choice = Choice("large", "It fits.", otherwise="small")
    host = ModelHost([choice], load=load, translators=lambda _: None)  # type: ignore
    host.start()
    host.wait(60)
    (status,) = host.statuses()
    host.close()

    assert (status.name, status.state) == ("small", "ready")
    assert "The disk is full." in status.detail


def test_a_model_is_known_by_the_name_it_was_asked_for_before_and_after_it_is_loaded() -> None:
    go = threading.Event()
    names = {"3b": "paligemma2-3b", "10b": "paligemma2-10b", "mine": "10b"}

    def load(name: str, *, progress: Callable[[float, str], None]) -> LoadedModel:
        assert go.wait(60)
        return tiny_loaded(names[name])

    choices = [Choice(name, "asked for") for name in names]
    host = ModelHost(choices, load=load, translators=lambda _: None)  # type: ignore
    host.start()
    with pytest.raises(ModelUnavailable, match="3b is still loading"):
        host.get("3b")
    go.set()
    host.wait(60)
    known = {name: host.get(name).loaded.name for name in ("3b", "paligemma2-3b", "paligemma2-10b", "10b", "mine")}
    host.close()
    # A folder may be called as another was asked for: what stands in results and on the page comes first.
    assert known == {name: name for name in known} | {"3b": "paligemma2-3b", "mine": "10b"}


def test_while_it_drains_it_is_not_ready_and_refuses() -> None:
    host = host_of(Loader(ValueError("not used")))
    assert host.drain(1)
    assert not host.ready
    with pytest.raises(ModelUnavailable, match="shut down"):
        ask(host, 0)
    host.close()


def test_models_are_loaded_and_run_as_the_settings_say() -> None:
    host = host_models(
        Settings(models=("demo",), device="cpu", dtype="bfloat16", quantize="int8", max_queue=3, hang_seconds=7.0)
    )
    host.start()
    host.wait(120)
    hosted = host.get()
    host.close()
    assert hosted.loaded.dtype == torch.bfloat16
    assert isinstance(hosted.loaded.model.lm_head, Int8Linear)
    assert hosted.engine._line._size == 3
    assert hosted.engine._hang_seconds == 7.0
