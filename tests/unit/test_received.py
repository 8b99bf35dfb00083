"""A result comes back from its JSON as it was, and whatever else comes is refused by a sentence."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from inference.errors import InvalidInput
from inference.received import decode_rle, result_from_json
from inference.types import Detection, Result, Translation, encode_rle

WIDTH, HEIGHT = 40, 30


def answer() -> Result:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[5:20, 3:33] = True
    mask[8:10, 10:12] = False
    return Result(
        task="segment",
        model="demo",
        prompt="segment cat ; dog",
        raw="<loc0001>…",
        text="cat ; dog",
        width=WIDTH,
        height=HEIGHT,
        translation=Translation("es", "gato ; perro"),
        detections=(
            Detection("cat", (3.0, 5.0, 33.0, 20.0), 0.75, mask, translated_label="gato"),
            Detection("dog", (0.0, 0.0, 40.0, 30.0)),
        ),
    )


def test_a_result_comes_back_as_it_was() -> None:
    before = answer()
    after = result_from_json(before.to_json(), about=(WIDTH, HEIGHT))
    assert after == before
    for thing, other in zip(after.detections, before.detections, strict=True):
        assert (thing.mask is None) == (other.mask is None)
        assert thing.mask is None or np.array_equal(thing.mask, other.mask)
    assert result_from_json(json.dumps(before.to_json()), about=(WIDTH, HEIGHT)) == before


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 1))
def test_masks_are_decoded_as_pycocotools_does(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    encoded = encode_rle(mask)
    decoded = decode_rle(encoded, width=width, height=height)
    assert np.array_equal(decoded, mask)
    assert np.array_equal(decoded, coco.decode(encoded).astype(bool))


def replaced(path: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    def change(result: dict[str, Any]) -> Any:
        *parents, last = (int(name) if name.isdecimal() else name for name in path.split("."))
        place: Any = result
        for parent in parents:
            place = place[parent]
        place[last] = value
        return result

    return change


@pytest.mark.parametrize(
    ("change", "part"),
    [
        pytest.param(lambda _: None, "result", id="null"),
        pytest.param(lambda _: [], "result", id="a list"),
        pytest.param(lambda _: "{", "result", id="broken text"),
        pytest.param(lambda _: "[" * 100_000, "result", id="deep text"),
        pytest.param(lambda _: {}, "image", id="an empty object"),
        pytest.param(replaced("image", [40, 30]), "image", id="a size as a list"),
        pytest.param(replaced("image.width", True), "image.width", id="true as a number"),
        pytest.param(replaced("image.width", 10**30), "image.width", id="an endless picture"),
        pytest.param(replaced("image.height", -30), "image.height", id="a negative height"),
        pytest.param(replaced("text", None), "text", id="no text"),
        pytest.param(replaced("text", "x" * 20_001), "text", id="an endless text"),
        pytest.param(replaced("text", "\ud800"), "text", id="half a surrogate pair"),
        pytest.param(replaced("translation", "gato"), "translation", id="a translation as text"),
        pytest.param(replaced("translation.language", ["es"]), "translation.language", id="a list as a language"),
        pytest.param(replaced("detections", {}), "detections", id="detections as an object"),
        pytest.param(replaced("detections", [{}] * 101), "detections", id="too many detections"),
        pytest.param(replaced("detections.0", "cat"), "detections[0]", id="a detection as text"),
        pytest.param(replaced("detections.0.label", 7), "detections[0].label", id="a number as a label"),
        pytest.param(replaced("detections.1.score", 10**400), "detections[1].score", id="a score beyond any float"),
        pytest.param(replaced("detections.1.score", 1.5), "detections[1].score", id="a score above one"),
        pytest.param(replaced("detections.0.score", float("nan")), "detections[0].score", id="a score that is none"),
        pytest.param(replaced("detections.0.box", [1, 2, 3]), "detections[0].box", id="three edges"),
        pytest.param(replaced("detections.0.box", [9, 2, 3, 4]), "detections[0].box", id="an inverted box"),
        pytest.param(replaced("detections.0.box", [0, 0, 1e9, 4]), "detections[0].box", id="a box outside"),
        pytest.param(replaced("detections.0.box", [0, 0, float("inf"), 4]), "detections[0].box", id="an infinite box"),
        pytest.param(replaced("detections.0.mask", "abc"), "detections[0].mask", id="a mask as text"),
        pytest.param(replaced("detections.0.mask.size", [40, 30]), "detections[0].mask.size", id="sides swapped"),
        pytest.param(replaced("detections.0.mask.counts", ""), "detections[0].mask.counts", id="no runs"),
        pytest.param(replaced("detections.0.mask.counts", "o" * 99), "detections[0].mask.counts", id="an open run"),
        pytest.param(
            replaced("detections.0.mask.counts", "o" * 9 + "0"), "detections[0].mask.counts", id="an endless run"
        ),
        pytest.param(replaced("detections.0.mask.counts", "5"), "detections[0].mask.counts", id="runs too short"),
        pytest.param(replaced("detections.0.mask.counts", "PPPPPPo9"), "detections[0].mask.counts", id="runs too long"),
        pytest.param(replaced("detections.0.mask.counts", "@@@@"), "detections[0].mask.counts", id="negative runs"),
        pytest.param(replaced("detections.0.mask.counts", "é"), "detections[0].mask.counts", id="not ASCII"),
        pytest.param(replaced("detections.0.mask.counts", "~~~"), "detections[0].mask.counts", id="not a digit"),
        pytest.param(replaced("detections.0.mask.counts", [1200]), "detections[0].mask.counts", id="runs as a list"),
    ],
)
def test_what_no_task_returns_is_refused_by_a_sentence_that_names_the_part(
    change: Callable[[dict[str, Any]], Any], part: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        result_from_json(change(copy.deepcopy(answer().to_json())), about=(WIDTH, HEIGHT))
    assert f"“{part}”" in str(caught.value)


def test_masks_beyond_what_memory_holds_are_refused_before_they_are_decoded() -> None:
    thing = answer().to_json()["detections"][0]
    result = answer().to_json() | {"image": {"width": 10_000, "height": 10_000}, "detections": [thing] * 11}
    with pytest.raises(InvalidInput, match="1000 million pixels"):
        result_from_json(result, about=(10_000, 10_000))
    with pytest.raises(InvalidInput, match="another size"):
        result_from_json(result, about=(WIDTH, HEIGHT))


def test_runs_whose_sum_is_right_only_in_64_bits_are_refused() -> None:
    """numpy would make room for the sum, and write the runs."""
    count, area = 33_000, WIDTH * HEIGHT
    step, rest = divmod(2**64 + area, count * (count + 1))
    steps = np.full((count, 2), step)  # each chain of every other run rises by these
    steps[0, 0] += rest // count
    if rest % count:
        steps[count - rest % count, 0] += 1
    digits = (steps.reshape(-1, 1) >> 5 * np.arange(7)) & 0x1F
    digits[:, :-1] |= 0x20
    counts = "0" + (digits + 48).astype(np.uint8).tobytes().decode("ascii")
    runs = np.cumsum(steps, axis=0)
    assert int(runs.sum()) == area < int(runs.max())
    with pytest.raises(InvalidInput, match="counts"):
        decode_rle({"size": [HEIGHT, WIDTH], "counts": counts}, width=WIDTH, height=HEIGHT)


@given(st.text(alphabet=[chr(48 + digit) for digit in range(64)], min_size=1, max_size=40))
def test_no_runs_whatever_they_are_get_past_the_check(counts: str) -> None:
    mask = {"size": [HEIGHT, WIDTH], "counts": counts}
    try:
        decoded = decode_rle(mask, width=WIDTH, height=HEIGHT)
    except InvalidInput:
        return
    assert decoded.shape == (HEIGHT, WIDTH)
