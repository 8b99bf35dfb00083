"""The batch by itself: steps of fixed shapes, weights of few bits, and several batches on one model."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference import decoder
from inference.batch import Batch, Chosen, Sequence
from inference.graphs import StepShapes
from inference.linear import Linear
from tests.support.tiny import tiny_model, tiny_processor

PROMPTS = ("detect cat", "answer en what is this?", "cap en", "describe es")


@pytest.fixture(scope="module")
def processor() -> PaliGemmaProcessor:
    return tiny_processor()


@pytest.fixture(scope="module")
def model(processor: PaliGemmaProcessor) -> PaliGemmaForConditionalGeneration:
    return tiny_model(processor, width=64)


def inputs(processor: PaliGemmaProcessor, case: int) -> dict[str, torch.Tensor]:
    pixels = np.random.default_rng(case).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    made = processor(images=Image.fromarray(pixels), text=f"<image>{PROMPTS[case]}", return_tensors="pt")
    return {name: made[name] for name in ("input_ids", "attention_mask", "token_type_ids", "pixel_values")}


def generated(model: Any, processor: PaliGemmaProcessor, case: int, count: int) -> list[int]:
    given = inputs(processor, case)
    output = model.generate(**given, max_new_tokens=count, min_new_tokens=count, do_sample=False)
    ids: list[int] = output[0, given["input_ids"].shape[1] :].tolist()
    return ids


def sequence(processor: PaliGemmaProcessor, case: int) -> Sequence:
    given = inputs(processor, case)
    return Sequence(given["input_ids"], given["pixel_values"], pixels_key=str(case).encode())


def decoded(batch: Batch[Sequence], processor: PaliGemmaProcessor, counts: list[int]) -> list[list[Chosen]]:
    """The tokens of one request after another, each joining a step later than the one before, so many each."""
    waiting = [sequence(processor, case) for case in range(len(counts))]
    written: dict[int, list[Chosen]] = {}
    order = list(waiting)
    while waiting or batch.rows:
        if waiting and batch.has_room:
            row = waiting.pop(0)
            written[id(row)] = [batch.add(row)]
        if batch.rows:
            for row, chosen in zip(list(batch.rows), batch.step(), strict=True):
                written[id(row)].append(chosen)
        for row in list(batch.rows):
            if len(written[id(row)]) >= counts[order.index(row)]:
                batch.remove(row)
    return [written[id(row)] for row in order]


def ids(rows: list[list[Chosen]]) -> list[list[int]]:
    return [[chosen.id for chosen in row] for row in rows]


@pytest.mark.parametrize("padded", [False, True], ids=["shapes as they come", "shapes that a GPU can record"])
@pytest.mark.parametrize("window", [4096, 8], ids=["all is seen", "beyond the sliding window"])
def test_the_tokens_are_those_of_generate_whatever_the_shapes(processor, padded: bool, window: int):
    model = tiny_model(processor, sliding_window=window)
    counts = [12, 4, 20, 9]
    expected = [generated(model, processor, case, count) for case, count in enumerate(counts)]

    # Three rows and then two in steps of three and of two, and one alone, all at lengths of their own.
    written = decoded(Batch(model, processor, slots=3, padded=padded), processor, counts)

    assert ids(written) == expected
    assert all(len(set(row)) > 2 for row in expected), "a model that repeats one token proves nothing"


def test_two_batches_on_one_model_share_its_weights_and_leave_it_as_it_was(model, processor):
    expected = generated(model, processor, 0, 8)
    batches: list[Batch[Sequence]] = [Batch(model, processor, slots=2) for _ in range(2)]
    weights = [batch._decoder.layers[0]._qkv.weight for batch in batches]

    assert (
        weights[0].data_ptr()
        == weights[1].data_ptr()
        == model.model.language_model.layers[0].self_attn.q_proj.weight.data_ptr()
    )
    assert [ids(decoded(batch, processor, [8])) for batch in batches] == [[expected], [expected]]
    assert generated(model, processor, 0, 8) == expected


@pytest.mark.parametrize(
    ("change", "off"),
    [
        pytest.param(lambda model: model.to(torch.bfloat16), 0.05, id="bfloat16"),
        pytest.param(lambda model: decoder.quantize(model, "int8", torch.device("cpu")), 0.1, id="int8"),
        pytest.param(lambda model: decoder.quantize(model, "int4", torch.device("cpu")), 0.6, id="int4"),
    ],
)
def test_with_fewer_bits_the_first_token_stays_about_as_probable(
    model, processor, change: Callable[[PaliGemmaForConditionalGeneration], object], off: float
):
    [exact] = decoded(Batch(model, processor, slots=2), processor, [2])
    changed = copy.deepcopy(model)
    change(changed)

    [close] = decoded(Batch(changed, processor, slots=2), processor, [2])

    assert close[0].probability != exact[0].probability, "nothing was changed"
    assert abs(np.log(close[0].probability) - np.log(exact[0].probability)) < off
    assert (close[0].id == exact[0].id) or off > 0.5


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantized_rows_get_the_same_tokens_alone_and_in_company(model, processor, kind: str):
    changed = copy.deepcopy(model)
    decoder.quantize(changed, kind, torch.device("cpu"))
    alone: Batch[Sequence] = Batch(changed, processor, slots=1)
    together: Batch[Sequence] = Batch(changed, processor, slots=4)

    counts = [6, 9, 4, 7]

    assert ids(decoded(together, processor, counts)) == ids(decoded(alone, processor, counts))


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_what_quantizing_takes_is_what_was_told_before(model, kind: str):
    changed = copy.deepcopy(model)
    before = changed.num_parameters()
    numbers, size = decoder.quantized_size(changed, kind)

    decoder.quantize(changed, kind, torch.device("cpu"))

    text = (*changed.model.language_model.modules(), changed.lm_head)
    made = {module for module in text if isinstance(module, Linear)}
    assert sum(buffer.nbytes for module in made for buffer in module.buffers()) == size
    assert before - changed.num_parameters() == numbers


@pytest.mark.parametrize(
    ("rows", "span", "expected"),
    [
        pytest.param(1, 1030, (1, 1280), id="one, at the shortest"),
        pytest.param(3, 1280, (4, 1280), id="a span that is full"),
        pytest.param(5, 1281, (6, 1536), id="one more than a span; slots are the largest size"),
        pytest.param(6, 1700, (6, 1794), id="all that there is"),
    ],
)
def test_steps_keep_to_few_shapes(rows: int, span: int, expected: tuple[int, int]):
    shapes = StepShapes.of(slots=6, capacity=1794, shortest=1024)

    assert shapes == StepShapes((1, 2, 4, 6), (1280, 1536, 1794))
    assert shapes.fit(rows, span) == expected


@pytest.mark.parametrize("kind", ["none", "int8", "int4"])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_a_step_that_a_gpu_records_looks_at_no_value(model, processor, rows: int, kind: str):
    shapeless = copy.deepcopy(model)
    shapeless.to("meta")  # tensors that have a shape and no values: looking at one raises, as mixing devices does
    if kind != "none":
        decoder.quantize(shapeless, kind, torch.device("meta"))
    batch: Batch[Sequence] = Batch(shapeless, processor, slots=4, padded=True)

    with torch.inference_mode():
        chosen = batch._next(torch.zeros((2, rows), dtype=torch.long, device="meta"), 256)

    assert chosen.shape == (3, rows)
    assert chosen.device.type == "meta"


@pytest.mark.parametrize("kind", ["none", "int8"])
def test_compiled_layers_write_the_tokens_of_those_that_are_not(model, processor, kind: str):
    changed = copy.deepcopy(model)
    if kind != "none":
        decoder.quantize(changed, kind, torch.device("cpu"))
    counts = [6, 9, 4]
    plain: Batch[Sequence] = Batch(changed, processor, slots=4, padded=True)
    compiled: Batch[Sequence] = Batch(changed, processor, slots=4, padded=True)
    compiled._decoder.compile(backend="aot_eager")

    assert ids(decoded(compiled, processor, counts)) == ids(decoded(plain, processor, counts))


def test_torch_knows_what_its_compiler_is_told(model, processor):
    batch: Batch[Sequence] = Batch(model, processor, slots=1)

    batch._decoder.compile()  # nothing is compiled before it runs; a setting that is unknown raises at once
    batch._decoder.compile(False)

    [row] = decoded(batch, processor, [2])
    assert len(row) == 2
