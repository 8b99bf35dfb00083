"""Pictures and prompts against what transformers' own processor makes of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import PaliGemmaProcessor

from inference.batch import MAX_PROMPT_TOKENS
from inference.errors import InvalidInput
from inference.reading import Reader
from tests.support.tiny import tiny_processor

PROCESSOR: PaliGemmaProcessor = tiny_processor()
READER = Reader(PROCESSOR)


def processed(image: Image.Image, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
    made = PROCESSOR(images=image, text=f"<image>{prompt}", return_tensors="pt")
    return made["input_ids"], made["pixel_values"]


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 400), height=st.integers(1, 400))
def test_the_pixels_are_the_processors(seed: int, width: int, height: int) -> None:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    pixels = READER.picture(image)
    assert torch.equal(pixels, processed(image, "cap en")[1])
    assert pixels.is_contiguous()


@pytest.mark.parametrize(
    "prompt",
    ["", "cap en", " two  spaces ", "detect <loc0001><loc0002> cat", "\n", "a\n", "¿qué?", "你好 🙂", "<seg001>"],
)
def test_the_tokens_are_the_processors(prompt: str) -> None:
    assert torch.equal(READER.prompt(prompt), processed(Image.new("RGB", (8, 8)), prompt)[0])


@given(st.text(max_size=60).filter(lambda text: "<image>" not in text))
def test_the_tokens_of_any_prompt_are_the_processors(prompt: str) -> None:
    assert torch.equal(READER.prompt(prompt), processed(Image.new("RGB", (8, 8)), prompt)[0])


def test_a_prompt_of_just_so_many_tokens_is_read_and_one_more_is_refused() -> None:
    word = next(word for word in "abcxyz" if READER.prompt(word * 9).shape[1] - READER.prompt(word * 8).shape[1] == 1)
    count = next(
        n for n in range(1, 2000) if len(PROCESSOR.tokenizer(word * n, add_special_tokens=False)["input_ids"]) == 256
    )
    assert MAX_PROMPT_TOKENS == 256
    READER.prompt(word * count)
    with pytest.raises(InvalidInput, match="257 tokens long; at most 256"):
        READER.prompt(word * (count + 1))
