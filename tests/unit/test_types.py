"""The values between the layers: they survive pickling, compare, and become the documented JSON."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from inference.types import Box, Detection, Request, Result, Timing, Translation, box_iou, encode_rle


def masks():
    random = np.random.default_rng(5).random((7, 11)) > 0.5
    corner = np.zeros((30, 20), dtype=bool)
    corner[0, 0] = corner[-1, -1] = True
    return [
        pytest.param(random, id="random"),
        pytest.param(np.zeros((4, 6), dtype=bool), id="empty"),
        pytest.param(np.ones((6, 4), dtype=bool), id="full"),
        pytest.param(corner, id="opposite corners"),
        pytest.param(np.ones((1, 1), dtype=bool), id="one pixel"),
        pytest.param(np.asfortranarray(random), id="column order"),
        pytest.param(random[::2, ::-1], id="a view"),
    ]


@pytest.mark.parametrize("mask", masks())
def test_a_mask_survives_run_length_encoding(mask):
    encoded = json.loads(json.dumps(encode_rle(mask)))
    assert encoded["size"] == list(mask.shape)
    np.testing.assert_array_equal(coco.decode(encoded).astype(bool), mask)


def result() -> Result:
    mask = np.zeros((20, 30), dtype=bool)
    mask[2:5, 3:9] = True
    return Result(
        task="segment",
        model="demo",
        prompt="segment cat",
        raw="<loc0001> cat",
        text="cat",
        width=30,
        height=20,
        translation=Translation("es", "gato"),
        detections=(
            Detection("cat", (1.23456, 2.0, 9.0, 8.0), 0.876543, mask, tuple(range(16)), "gato", (0, 13)),
            Detection("dog", (0.0, 0.0, 1.0, 1.0)),
        ),
        problems=("Something was left out.",),
        timing=Timing(total=1.23456789, tokens=24),
    )


def test_a_result_becomes_the_documented_json():
    written = json.loads(json.dumps(result().to_json()))
    cat, dog = written.pop("detections")
    assert written == {
        "task": "segment",
        "model": "demo",
        "prompt": "segment cat",
        "raw": "<loc0001> cat",
        "text": "cat",
        "translation": {"language": "es", "text": "gato"},
        "image": {"width": 30, "height": 20},
        "problems": ["Something was left out."],
        "timing": {
            "queue": 0.0,
            "vision": 0.0,
            "prefill": 0.0,
            "decode": 0.0,
            "total": 1.2346,
            "tokens": 24,
            "cached": False,
        },
    }
    assert coco.decode(cat.pop("mask")).sum() == 18
    assert cat == {"label": "cat", "translated_label": "gato", "box": [1.23, 2.0, 9.0, 8.0], "score": 0.8765}
    assert dog == {"label": "dog", "translated_label": None, "box": [0, 0, 1, 1], "score": None, "mask": None}


def test_a_text_answer_has_neither_translation_nor_detections():
    written = Result("answer", "demo", "answer en what?", "red", "red", 3, 4).to_json()
    assert written["translation"] is None
    assert written["detections"] == []
    assert written["problems"] == []


def test_requests_and_results_can_go_to_another_process():
    request = Request(Image.new("RGB", (3, 2), (1, 2, 3)), "detect", "cat", id="a1")
    copy = pickle.loads(pickle.dumps(request))
    assert copy.image.tobytes() == request.image.tobytes()
    assert copy.text == "cat"
    assert pickle.loads(pickle.dumps(result())).to_json() == result().to_json()


def test_detections_with_masks_can_be_compared_and_counted():
    one, other = result().detections[0], result().detections[0]
    assert one == other
    assert one in (other,)
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        pytest.param((0, 0, 10, 10), 1, id="the same"),
        pytest.param((5, 0, 15, 10), 1 / 3, id="half of each"),
        pytest.param((0, 0, 10, 20), 1 / 2, id="one holds the other"),
        pytest.param((10, 0, 20, 10), 0, id="side by side"),
        pytest.param((40, 40, 50, 50), 0, id="apart"),
        pytest.param((5, 5, 5, 5), 0, id="without area"),
    ],
)
def test_the_overlap_of_two_boxes_is_what_both_cover_of_what_either_does(other: Box, overlap: float) -> None:
    box = (0, 0, 10, 10)
    assert box_iou(box, other) == box_iou(other, box) == pytest.approx(overlap)
