"""A checkpoint that is had in two ways at once: its name says how its weights are kept."""

import pytest
import torch

from inference import checkpoints
from inference.errors import ModelUnavailable
from inference.loading import load


@pytest.mark.parametrize(
    ("name", "shown", "variant"),
    [
        ("demo", "demo", ""),
        ("demo:bfloat16", "demo:bfloat16", "bfloat16"),
        ("3b:int8", "paligemma2-3b-mix-448:int8", "int8"),
        ("google/x@main:int4", "google/x@main:int4", "int4"),
    ],
)
def test_a_name_may_end_in_the_way_its_weights_are_kept(name: str, shown: str, variant: str) -> None:
    found = checkpoints.find(name)
    assert (found.name, found.variant) == (shown, variant)


@pytest.mark.parametrize("name", ["demo:int9", "demo:", ":int8", "nothing:int8"])
def test_other_endings_are_no_model(name: str) -> None:
    with pytest.raises(ModelUnavailable, match="There is no model"):
        checkpoints.find(name)


def test_two_endings_are_one_too_many() -> None:
    with pytest.raises(ModelUnavailable, match="two ways to keep the weights"):
        checkpoints.find("demo:int8:float32")


def test_the_variant_is_what_is_loaded_whatever_the_settings_say() -> None:
    loaded = load("demo:bfloat16", device=torch.device("cpu"), dtype="float32", progress=lambda *_: None)
    assert (loaded.name, loaded.dtype, loaded.embedded) == ("demo:bfloat16", torch.bfloat16, True)
