"""The traced vision tower, and looking at pictures while others are answered."""

import functools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference.batch import Batch
from inference.engine import Engine
from inference.generation import Row
from inference.vision import Tower
from tests.support.tiny import tiny_model, tiny_processor
from tests.unit.test_engine import PROMPTS, generate, picture, tokens


@pytest.fixture(scope="module")
def processor() -> PaliGemmaProcessor:
    return tiny_processor()


@pytest.fixture
def model(processor: PaliGemmaProcessor) -> PaliGemmaForConditionalGeneration:
    return tiny_model(processor).requires_grad_(False)  # as a loaded one is


def warm_batch(model: PaliGemmaForConditionalGeneration, processor: PaliGemmaProcessor) -> Batch[Row]:
    batch: Batch[Row] = Batch(model, processor, slots=3)
    batch.warm_up(lambda *_: None)
    return batch


@pytest.fixture
def engine(model: PaliGemmaForConditionalGeneration, processor: PaliGemmaProcessor) -> Iterator[Engine]:
    engine = Engine(model, processor, make_batch=functools.partial(warm_batch, model, processor))
    yield engine
    engine.close()


def test_the_features_are_those_of_the_models_own_modules_bit_for_bit(model, processor) -> None:
    tower = Tower(model)
    pixels = [processor(images=picture(seed), text="<image>", return_tensors="pt")["pixel_values"] for seed in range(4)]
    with torch.inference_mode():
        expected = [model.get_image_features(each).pooler_output for each in pixels]
        tower.trace()
        assert tower.is_traced
        assert all(torch.equal(tower(each), right) for each, right in zip(pixels, expected, strict=True))


def test_a_small_model_keeps_to_one_thread_whatever_others_take_after_it(model, processor) -> None:
    with ThreadPoolExecutor(1) as its_own, ThreadPoolExecutor(1) as other:
        its_own.submit(Batch(model, processor, slots=1).use_threads).result()
        other.submit(torch.set_num_threads, 3).result()
        assert its_own.submit(torch.get_num_threads).result() == 1
        other.submit(torch.set_num_threads, 1).result()  # what threads of other tests begin with


def test_a_tower_that_cannot_be_traced_goes_on_as_it_is(model, processor, caplog) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("not with this torch")

    tower = Tower(model)
    hook = model.model.vision_tower.register_forward_hook(explode)
    tower.trace()
    hook.remove()
    assert not tower.is_traced
    assert "not with this torch" in caplog.text
    assert not Batch(model, processor, slots=1).looks_ahead


def test_with_pictures_looked_at_ahead_each_gets_the_tokens_of_generate(engine, model, processor) -> None:
    expected = [generate(model, processor, picture(seed), PROMPTS[seed % 6], 10) for seed in range(9)]
    answers: list[list[int]] = [[] for _ in expected]

    def ask(seed: int) -> None:
        answers[seed] = [
            token.id for token in tokens(engine.submit(picture(seed), PROMPTS[seed % 6], max_new_tokens=10))
        ]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(len(expected))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == expected


def test_looking_is_not_counted_as_waiting(engine) -> None:
    generation = engine.submit(picture(0), "cap en", max_new_tokens=4, ignore_eos=True)
    tokens(generation)
    timing = generation.timing
    assert timing.vision > 0
    assert timing.queue + timing.vision + timing.prefill + timing.decode <= timing.total * 1.001


def test_a_look_that_fails_is_tried_again_when_it_is_the_requests_turn(model, processor) -> None:
    class Dazzled(Batch[Row]):
        fails = True

        def look(self, row: Row) -> None:
            if self.fails:
                self.fails = False
                raise RuntimeError("too bright")
            super().look(row)

    def make() -> Batch[Row]:
        batch = Dazzled(model, processor, slots=2)
        batch.warm_up(lambda *_: None)
        return batch

    engine = Engine(model, processor, make_batch=make)
    expected = generate(model, processor, picture(2), "cap en", 8)
    written = [token.id for token in tokens(engine.submit(picture(2), "cap en", max_new_tokens=8))]
    engine.close()
    assert written == expected
    assert engine.restarts == 0


def test_a_look_that_never_ends_is_given_up_and_the_engine_begins_anew(model, processor) -> None:
    hang = threading.Event()
    made: list[Batch[Row]] = []

    class Staring(Batch[Row]):
        def look(self, row: Row) -> None:
            if len(made) == 1:
                hang.wait(60)
            super().look(row)

    def make() -> Batch[Row]:
        made.append(Staring(model, processor, slots=2))
        made[-1].warm_up(lambda *_: None)
        return made[-1]

    engine = Engine(model, processor, make_batch=make, hang_seconds=0.5)
    expected = generate(model, processor, picture(2), "cap en", 8)
    try:
        # It had not begun to be answered, so it stays in line and is answered by the next worker.
        written = [token.id for token in tokens(engine.submit(picture(2), "cap en", max_new_tokens=8))]
    finally:
        hang.set()
        engine.close()
    assert written == expected
    assert engine.restarts == 1
