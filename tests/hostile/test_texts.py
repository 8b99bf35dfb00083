"""Every hostile text through cleaning, the real tokenizer and the real model: an answer or a plain sentence."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import PaliGemmaProcessor, PreTrainedTokenizerBase

from inference import tasks
from inference.errors import InvalidInput
from inference.types import Request
from tests.hostile.conftest import PATIENCE, is_plain
from tests.hostile.payloads import UPLOADED
from tests.hostile.texts import SPECIAL, TEXTS

TYPED = {"answer": "question", "ask": "answer", "detect": "objects", "segment": "objects", "prompt": "prompt"}
EMBEDDED = Path(__file__).parents[2] / "assets" / "paligemma2-demo"
PICTURE = Image.new("RGB", (8, 8))


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    return PaliGemmaProcessor.from_pretrained(EMBEDDED).tokenizer


def prompt_of(task: str, text: str) -> str | None:
    """What the model is given, or None where the text is refused."""
    request = Request(image=PICTURE, task=task, text=text)
    begin = time.perf_counter()
    prompt, message = None, ""
    try:
        prompt = tasks.check(request).prompt(request)
    except InvalidInput as error:
        message = str(error)
    assert time.perf_counter() - begin < PATIENCE
    assert prompt is not None or is_plain(message), message
    return prompt


def special_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[str]:
    """The tokens of a prompt that no person can type: special ones, places and mask codes."""
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    return [piece for piece in pieces if piece in added and piece != "<unk>"]


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_becomes_a_special_token(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    for task in TYPED:
        prompt = prompt_of(task, TEXTS[name])
        if prompt is None:
            continue
        found = special_tokens(tokenizer, prompt)
        if task == "prompt":  # a raw prompt may hold places and mask codes on purpose
            found = [token for token in found if not token.startswith(("<loc", "<seg"))]
        assert found == [], prompt
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in prompt)
        assert not any(character in prompt for character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
        prompt.encode()  # no lone surrogate is left


def test_the_tokenizer_knows_the_tokens_that_are_looked_for(tokenizer: PreTrainedTokenizerBase) -> None:
    for name in ("image", "bos", "eos", "pad", "loc0001", "loc1023", "seg000", "seg127"):
        assert special_tokens(tokenizer, f"what is <{name}>?") == [f"<{name}>"]
    assert "loc1023" in SPECIAL


PIECES = st.sampled_from(
    [
        "<",
        ">",
        "image",
        "bos",
        "eos",
        "loc",
        "seg",
        "0001",
        "127",
        "0",
        "/",
        " ",
        "\u200b",
        "\0",
        "\u0338",
        ";",
        ",",
        "\n",
        "[",
        "@BOS@",
        "]",
        "<image>",
        "<loc0001>",
        "<seg000>",
        "<eos>",
        "IMAGE",
        "\u202e",
        "▁",
        "e\u0301",
        "\ud800",
        "‹",
    ]
)
TYPABLE = st.one_of(
    st.text(st.characters(codec=None), max_size=60),
    st.lists(st.one_of(PIECES, st.text(max_size=2)), max_size=25).map("".join),
)


@given(text=TYPABLE, task=st.sampled_from(sorted(TYPED)))
def test_no_string_becomes_a_special_token(text: str, task: str, tokenizer: PreTrainedTokenizerBase) -> None:
    prompt = prompt_of(task, text)
    if prompt is None:
        return
    assert not [
        token
        for token in special_tokens(tokenizer, prompt)
        if task != "prompt" or not token.startswith(("<loc", "<seg"))
    ]


@given(TYPABLE, st.booleans())
def test_cleaning_is_done_at_once(text: str, keep: bool) -> None:
    once = tasks.clean_text(text, keep_location_tokens=keep)
    assert tasks.clean_text(once, keep_location_tokens=keep) == once
    assert once == once.strip()


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_answered_or_refused_by_a_sentence(name: str, call: Any, uploaded: dict[Any, Any]) -> None:
    place = list(TEXTS).index(name)
    task, values = (
        ("answer", [uploaded[UPLOADED], TEXTS[name], "en", False, "en", ""]),
        ("detect", [uploaded[UPLOADED], TEXTS[name], False, "en", ""]),
        ("prompt", [uploaded[UPLOADED], TEXTS[name], False, ""]),
        ("ask", [uploaded[UPLOADED], TEXTS[name], "en", False, "es", ""]),
    )[place % 4]
    event, told = call(task, values)
    if event == "error":
        assert is_plain(told), told
    else:
        assert event == "complete"
        assert "<image>" not in told[0]["prompt"]
        assert len(told[0]["prompt"]) < 3 * tasks.MAX_TEXT_CHARACTERS


def test_too_many_tokens_are_refused_with_their_number(call: Any, uploaded: dict[Any, Any]) -> None:
    event, told = call("answer", [uploaded[UPLOADED], TEXTS["300 tokens of a byte each"], "en", False, "en", ""])
    assert event == "error"
    assert "256" in told
    assert is_plain(told)
