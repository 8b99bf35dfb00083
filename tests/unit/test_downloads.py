"""Which files an answer is offered as, and what they hold."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.errors import InvalidInput
from inference.images import Limits
from inference.types import Detection, Result
from ui import exports
from ui.look import Shown
from ui.thread import Kept

WIDTH, HEIGHT = 20, 10


def result(*detections: Detection, task: str = "segment") -> Result:
    return Result(task, "tiny", "segment cat", "", "", WIDTH, HEIGHT, detections=detections)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "street.png")
    cat = Detection("cat", (0, 0, 5, 5), score=0.4, mask=np.ones((HEIGHT, WIDTH), dtype=bool))
    return Kept.of(result(cat), picture=str(tmp_path / "street.png"), question="", device="cpu")


def look(threshold: float) -> Shown:
    return Shown(threshold=threshold, opacity=0.5, parts="both", language="en")


def test_a_file_of_what_is_all_hidden_is_refused_by_a_sentence(kept: Kept) -> None:
    assert exports.make(kept, "masks", look=look(0.4), limits=Limits()).path.startswith("street")
    with pytest.raises(InvalidInput, match="hidden"):
        exports.make(kept, "masks", look=look(0.9), limits=Limits())
    assert exports.make(kept, "coco", look=look(0.9), limits=Limits()).path == "street-coco.json"
