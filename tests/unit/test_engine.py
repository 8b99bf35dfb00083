"""The engine against transformers' own `generate`, in float32, where both must write the same tokens."""

import itertools
import random
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference.batch import MAX_PROMPT_TOKENS
from inference.engine import Engine, Generation, Queued, Started, TextStream, Token
from inference.errors import Busy, Cancelled, DeadlineExceeded, InvalidInput, ModelUnavailable
from tests.support.tiny import tiny_model, tiny_processor

PROMPTS = ("detect cat", "answer en what is this?", "cap en", "describe es", "¿qué es esto?", "x")


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def processor() -> PaliGemmaProcessor:
    return tiny_processor()


@pytest.fixture(scope="module")
def model(processor: PaliGemmaProcessor) -> PaliGemmaForConditionalGeneration:
    return tiny_model(processor)


@pytest.fixture
def engine(model, processor):
    engine = Engine(model, processor, slots=3, queue_size=6)
    yield engine
    engine.close()


def generate(model, processor, image: Image.Image, prompt: str, max_new_tokens: int) -> list[int]:
    inputs = processor(images=image, text=f"<image>{prompt}", return_tensors="pt")
    inputs.pop("labels", None)
    output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    ids = output[0, inputs["input_ids"].shape[1] :].tolist()
    return ids[: ids.index(1)] if 1 in ids else ids


def tokens(generation: Generation) -> list[Token]:
    return [event for event in generation if isinstance(event, Token)]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_alone_the_tokens_are_those_of_generate(engine, model, processor, prompt):
    expected = generate(model, processor, picture(0), prompt, 24)

    written = tokens(engine.submit(picture(0), prompt, max_new_tokens=24))

    assert [token.id for token in written] == expected
    assert len(set(expected)) > 2, "a model that repeats one token proves nothing"


@pytest.mark.parametrize("order", [0, 1, 2])
def test_in_any_company_and_order_each_request_gets_its_own_tokens(engine, model, processor, order):
    cases = [
        (seed, prompt, limit) for (seed, prompt), limit in zip(enumerate(PROMPTS), (30, 3, 17, 24, 1, 9), strict=True)
    ]
    random.Random(order).shuffle(cases)
    expected = [generate(model, processor, picture(seed), prompt, limit) for seed, prompt, limit in cases]

    running = [engine.submit(picture(seed), prompt, max_new_tokens=limit) for seed, prompt, limit in cases]

    assert [[token.id for token in tokens(generation)] for generation in running] == expected


def test_beyond_the_sliding_window_the_tokens_are_those_of_generate(processor):
    model = tiny_model(processor, sliding_window=8)
    engine = Engine(model, processor, slots=2)
    expected = generate(model, processor, picture(1), "detect cat", 24)

    written = tokens(engine.submit(picture(1), "detect cat", max_new_tokens=24))
    engine.close()

    assert [token.id for token in written] == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a red star and two blue rings", id="words"),
        pytest.param("<loc0001><loc0002><loc0003><loc0004> dog's bowl ; <loc0005>", id="location tokens keep spaces"),
        pytest.param("¿Qué? Está aquí", id="accents of two bytes"),
        pytest.param("你好 🙂 ok", id="characters of three and four bytes"),
    ],
)
def test_the_pieces_of_a_streamed_text_are_whole_characters_and_join_to_it(processor, text):
    stream = TextStream(lambda ids: processor.tokenizer.decode(ids, skip_special_tokens=True))

    pieces = [stream.add(token) for token in processor.tokenizer(text)["input_ids"]]

    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_every_token_carries_the_probability_that_generate_gives_it(engine, model, processor):
    inputs = processor(images=picture(0), text="<image>cap en", return_tensors="pt")
    inputs.pop("labels", None)
    output = model.generate(
        **inputs, max_new_tokens=12, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    expected = [logits.softmax(-1).max().item() for logits in output.logits]

    written = tokens(engine.submit(picture(0), "cap en", max_new_tokens=12, ignore_eos=True))

    assert [token.probability for token in written] == pytest.approx(expected, rel=1e-3)
    assert all(token.probability <= token.score + 1e-6 <= 1 + 2e-6 for token in written)


def test_the_same_picture_is_looked_at_once(engine, model):
    seen = []
    hook = model.model.vision_tower.register_forward_hook(lambda *_: seen.append(1))
    first = tokens(engine.submit(picture(7), "cap en", max_new_tokens=5))
    again = tokens(engine.submit(picture(7), "cap en", max_new_tokens=5, ignore_eos=True))
    hook.remove()

    assert len(seen) == 1
    assert [token.id for token in again] == [token.id for token in first]


def test_a_request_tells_that_it_waits_then_starts_and_how_long_it_took(engine):
    generation = engine.submit(picture(0), "cap en", max_new_tokens=5, ignore_eos=True)
    events = list(generation)

    assert isinstance(events[0], Queued)
    assert events[1:2] == [Started()]
    assert generation.timing.tokens == 5
    assert generation.timing.total >= generation.timing.prefill + generation.timing.decode > 0


def test_a_cancelled_request_ends_and_leaves_the_others_alone(engine, model, processor):
    expected = generate(model, processor, picture(3), "cap en", 40)
    stopped = engine.submit(picture(0), "describe es", max_new_tokens=500, ignore_eos=True)
    other = engine.submit(picture(3), "cap en", max_new_tokens=40)
    events = iter(stopped)
    next(event for event in events if isinstance(event, Token))

    stopped.cancel()

    with pytest.raises(Cancelled):
        list(events)
    assert [token.id for token in tokens(other)] == expected


def test_a_request_past_its_deadline_fails_with_a_sentence(engine):
    with pytest.raises(DeadlineExceeded, match="too long"):
        tokens(engine.submit(picture(0), "cap en", max_new_tokens=500, ignore_eos=True, deadline=0.05))


def test_a_full_queue_refuses_with_a_number(engine):
    running = [engine.submit(picture(0), "cap en", max_new_tokens=500, ignore_eos=True) for _ in range(3)]
    for generation in running:  # all three slots are taken once each has written something
        next(event for event in generation if isinstance(event, Token))
    waiting = [engine.submit(picture(0), "cap en", max_new_tokens=1) for _ in range(6)]

    with pytest.raises(Busy, match="6 requests are waiting"):
        engine.submit(picture(0), "cap en")
    for generation in itertools.chain(running, waiting):
        generation.cancel()


def test_an_endless_prompt_is_refused_with_the_limit(engine):
    with pytest.raises(InvalidInput, match=f"at most {MAX_PROMPT_TOKENS}"):
        engine.submit(picture(0), "word " * 2000)


@pytest.mark.parametrize("limit", [0, -1, 100_000])
def test_a_limit_that_makes_no_sense_is_refused(engine, limit):
    with pytest.raises(InvalidInput, match="from 1 to"):
        engine.submit(picture(0), "cap en", max_new_tokens=limit)


def test_what_breaks_in_the_model_fails_one_request_and_the_engine_lives_on(engine, model, processor):
    expected = generate(model, processor, picture(5), "cap en", 8)

    def explode(*_: object) -> None:
        raise RuntimeError("secret detail")

    hook = model.model.vision_tower.register_forward_hook(explode)
    broken = engine.submit(picture(4), "cap en")
    with pytest.raises(ModelUnavailable) as caught:
        tokens(broken)
    hook.remove()

    assert "secret" not in str(caught.value)
    assert [token.id for token in tokens(engine.submit(picture(5), "cap en", max_new_tokens=8))] == expected


def test_closing_ends_what_is_in_flight_and_refuses_what_comes_after(model, processor):
    engine = Engine(model, processor, slots=1)
    running = engine.submit(picture(0), "cap en", max_new_tokens=500, ignore_eos=True)
    failure: list[BaseException] = []

    def read() -> None:
        try:
            list(running)
        except ModelUnavailable as error:
            failure.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    engine.close()
    reader.join(timeout=20)

    assert failure
    with pytest.raises(ModelUnavailable):
        engine.submit(picture(0), "cap en")


def test_requests_from_many_threads_all_get_their_answers(model, processor):
    engine = Engine(model, processor, slots=4, queue_size=64)
    expected = {seed: generate(model, processor, picture(seed), PROMPTS[seed % 6], 10) for seed in range(12)}
    answers: dict[int, list[int]] = {}

    def ask(seed: int) -> None:
        generation = engine.submit(picture(seed), PROMPTS[seed % 6], max_new_tokens=10)
        answers[seed] = [token.id for token in tokens(generation)]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    engine.close()

    assert answers == expected


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_the_tokens_are_those_of_generate(processor):
    model = tiny_model(processor)
    expected = generate(model, processor, picture(0), "detect cat", 24)
    engine = Engine(model.to("cuda"), processor)
    written = tokens(engine.submit(picture(0), "detect cat", max_new_tokens=24))
    engine.close()

    assert [token.id for token in written] == expected
