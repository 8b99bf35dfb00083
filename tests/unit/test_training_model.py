import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PaliGemmaProcessor

from training import checkpoint, examples, finetune
from training import model as small
from training.examples import Found, Sample, ask_for, matching
from training.optimiser import Optimiser, Rates
from training.tokenizer import Inventory

PUBLISHED = Path(__file__).parents[2] / "assets" / "paligemma2-demo"


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return checkpoint.fresh(0)[1]


THINGS = [
    Found("star", "red", (10.4, 20.0, 300.0, 310.0), (1,) * 16),
    Found("house", "blue", (500.0, 400.0, 700.0, 600.6), (2,) * 16),
    Found("star", "blue", (100.0, 700.0, 300.0, 900.0), (3,) * 16),
]


def builder(inventory: Inventory) -> examples.Examples:
    """Examples without a pool, for rows whose things are given."""
    return examples.Examples(None, inventory, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "phrases", "target"),
    [
        pytest.param(
            "detect",
            ["star"],
            "<loc0011><loc0022><loc0297><loc0308> star ; <loc0099><loc0704><loc0297><loc0902> star<eos>",
            id="several, left to right",
        ),
        pytest.param("detect", ["blue star"], "<loc0099><loc0704><loc0297><loc0902> blue star<eos>", id="with colour"),
        pytest.param(
            "detect",
            ["house", "red star"],
            "<loc0495><loc0396><loc0704><loc0605> house ; <loc0011><loc0022><loc0297><loc0308> red star<eos>",
            id="in the order asked",
        ),
        pytest.param("detect", ["key"], "<eos>", id="absent"),
        pytest.param(
            "segment", ["house"], "<loc0495><loc0396><loc0704><loc0605>" + "<seg002>" * 16 + " house<eos>", id="mask"
        ),
    ],
)
def test_targets_read_as_the_real_model_writes_them(
    task: str, phrases: list[str], target: str, inventory: Inventory
) -> None:
    row = builder(inventory).objects(task, phrases, THINGS, 0)
    assert inventory.tokenizer.decode(row.target) == target
    assert inventory.tokenizer.decode(row.prefix) == f"<bos>{task} {' ; '.join(phrases)}\n"
    is_place = [inventory.first_location <= token < inventory.first_code for token in row.target]
    assert [place >= 0 for place in row.places] == is_place


def test_prompts_ask_for_what_is_there_and_sometimes_for_what_is_not() -> None:
    rng = random.Random(0)
    asked = [ask_for(THINGS, ["key", "red house"], rng, most_objects=2) for _ in range(200)]
    assert all(phrases and len(set(phrases)) == len(phrases) for phrases in asked)
    found = [sum(len(matching(phrase, THINGS)) for phrase in phrases) for phrases in asked]
    assert max(found) <= 2
    assert 0 < sum(count == 0 for count in found) < 100


@pytest.mark.parametrize(
    "text",
    [
        "detect red star ; house\n",
        "¿De qué color es el árbol?",
        "naïve 日本 😀 <b>",
        "  two  spaces ",
        "<loc0000> a ; b",
        "",
    ],
)
def test_any_text_survives_the_tokenizer(text: str, inventory: Inventory) -> None:
    tokenizer = inventory.tokenizer
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"], skip_special_tokens=True) == text


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        pytest.param("detect Moon ; Red star\n", "detect moon ; red star\n", id="names"),
        pytest.param("segment Fish\n", "segment fish\n", id="one name"),
        pytest.param("question en OPEN\n", "question en OPEN\n", id="a written word"),
        pytest.param("answer en Where is OPEN?\n", "answer en Where is OPEN?\n", id="a question"),
        pytest.param("There are two things. A red star", "There are two things. A red star", id="a description"),
    ],
)
def test_names_of_things_may_begin_with_a_capital(typed: str, read: str, inventory: Inventory) -> None:
    for tokenizer in (inventory.tokenizer, PaliGemmaProcessor.from_pretrained(PUBLISHED).tokenizer):
        assert tokenizer.decode(tokenizer(typed, add_special_tokens=False)["input_ids"]) == read


def test_words_of_the_world_are_single_tokens(inventory: Inventory) -> None:
    for text in ("detect star", "cap es", "una estrella roja", "OPEN EAST", "What color"):
        pieces = inventory.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert len(pieces) == len(text.split(" "))


def test_the_fast_forward_pass_equals_the_one_of_transformers(inventory: Inventory) -> None:
    model, _ = checkpoint.fresh(3)
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 255, (2, small.SIDE, small.SIDE, 3), dtype=np.uint8))
    rows = [
        Sample(0, [inventory.bos, 300, 301, 302], [400, 401, inventory.eos], [-1.0] * 3),
        Sample(1, [inventory.bos, 310], [402, inventory.first_location + 5, 403, 404, inventory.eos], [-1.0] * 5),
    ]
    (bucket,) = finetune.buckets(rows, inventory, 1)
    table = model.model.language_model.embed_tokens.weight
    with torch.no_grad():
        tokens = small.see(model, small.patches(pixels).float() / 127.5 - 1)
        words = torch.nn.functional.embedding(bucket.ids, table) * small.WIDTH**0.5
        ours = small.read(model, torch.cat([tokens, words], 1), bucket.prefix, bucket.ids.shape[1])
        for number, row in enumerate(rows):
            ids = torch.tensor([[inventory.image] * small.IMAGE_TOKENS + row.prefix + row.target[:-1]])
            kinds = torch.zeros_like(ids)
            kinds[0, small.IMAGE_TOKENS + len(row.prefix) :] = 1
            theirs = model.model(
                input_ids=ids,
                pixel_values=pixels[number : number + 1].permute(0, 3, 1, 2).float() / 127.5 - 1,
                token_type_ids=kinds,
                attention_mask=torch.ones_like(ids),
            ).last_hidden_state[0, small.IMAGE_TOKENS :]
            assert (theirs - ours[number, : len(theirs)]).abs().max() < 1e-4


def test_the_norm_written_out_has_the_gradient_of_autograd() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 5, 8, requires_grad=True), torch.randn(8, requires_grad=True)
    incoming = torch.randn(3, 5, 8)
    small._Rms.apply(x, weight, 1e-6).backward(incoming)
    ours = x.grad.clone(), weight.grad.clone()  # type: ignore[union-attr]
    x.grad = weight.grad = None
    (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + weight)).backward(incoming)
    assert torch.allclose(ours[0], x.grad, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(ours[1], weight.grad, atol=1e-4)  # type: ignore[arg-type]


def test_the_optimiser_goes_on_from_its_own_state_as_if_never_stopped() -> None:
    def run(stop: bool) -> torch.Tensor:
        torch.manual_seed(0)
        matrix, vector = torch.nn.Parameter(torch.randn(6, 4)), torch.nn.Parameter(torch.randn(4))
        rates = Rates(matrices=0.01, others=0.01)
        optimiser = Optimiser(matrices=[matrix], others=[vector], rates=rates)
        for step in range(6):
            if stop and step == 3:
                state = optimiser.state()
                optimiser = Optimiser(matrices=[matrix], others=[vector], rates=rates)
                optimiser.restore(state)
            (matrix @ vector).pow(2).sum().backward()
            optimiser.step(1.0)
            matrix.grad = vector.grad = None
        return matrix.detach()

    assert torch.equal(run(stop=False), run(stop=True))


def test_an_optimiser_of_another_shape_is_refused() -> None:
    rates = Rates(matrices=0.01, others=0.01)
    small_one = Optimiser(matrices=[torch.nn.Parameter(torch.zeros(2, 2))], others=[], rates=rates)
    large_one = Optimiser(matrices=[torch.nn.Parameter(torch.zeros(3, 2))], others=[], rates=rates)
    with pytest.raises(ValueError, match="another shape"):
        large_one.restore(small_one.state())


def test_going_on_from_the_published_checkpoint_starts_with_its_own_table(inventory: Inventory) -> None:
    model, _ = checkpoint.fresh(0)
    table = checkpoint.adopt(PUBLISHED, model, inventory)
    vocabulary = finetune.Vocabulary(inventory)
    vocabulary.take(table, inventory)
    off = vocabulary.table().detach() - table
    places = slice(inventory.first_location, inventory.first_code)
    assert off.norm() < 0.01 * table.norm()
    assert off[places].norm() < 0.01 * table[places].norm()
    assert vocabulary.places.norm() < 0.5 * table[places].norm()
