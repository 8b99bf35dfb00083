"""Translation: what reaches the model, what stays as it is, and how translators are loaded.

The models are tiny and know no language; `Echo` gives every sentence back, so that only the handling of texts is seen.
"""

import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer

from inference import translation
from inference.errors import ModelUnavailable
from inference.hub import Hub
from inference.translation import Translator, Translators
from tests.support.hub import StandInHub

CPU = torch.device("cpu")
POSITIONS = 32
SENTENCES = (
    "A red cat sits on the mat. Two dogs run, and 3 birds fly!",
    "What is in the picture? Mr. Brown's bicycle, e.g. a blue one.",
    "- The QUICK fox jumps over a lazy hound; it is 3.5 m long …",
    "¿Dónde está el niño? ¡Aquí! Zxywvkjq UTSRPONMLIHGFEDCB",
)


class Echo(MarianMTModel):
    """Answers with its input, and keeps what it was asked."""

    def __init__(self, config: MarianConfig) -> None:
        super().__init__(config)
        self.batches: list[list[list[int]]] = []
        self.lengths: list[int] = []

    def generate(self, input_ids: torch.Tensor, generation_config: GenerationConfig, **_: Any) -> torch.Tensor:
        pad = self.config.pad_token_id
        self.batches.append([[token for token in row if token != pad] for row in input_ids.tolist()])
        self.lengths.append(generation_config.max_length)
        return torch.cat([torch.full_like(input_ids[:, :1], pad), input_ids], dim=1)


class Exhausted(MarianMTModel):
    """Runs out of memory."""

    def generate(self, **_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a tiny model, never changed by a test."""
    folder = tmp_path_factory.mktemp("translation") / "tiny"
    folder.mkdir()
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=trained,
        vocab_size=120,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(trained.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    words = [pieces.IdToPiece(index) for index in range(pieces.GetPieceSize())]
    words = ["</s>", "<unk>", *(word for word in words if word not in ("<s>", "</s>", "<unk>")), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "es"}))
    pad = len(words) - 1
    torch.manual_seed(3)
    model = MarianMTModel(
        MarianConfig(
            vocab_size=len(words), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=POSITIONS,
            pad_token_id=pad, eos_token_id=0, bos_token_id=0, decoder_start_token_id=pad, forced_eos_token_id=0,
            init_std=0.5,
        )
    )  # fmt: skip
    model.generation_config.num_beams = 2
    model.generation_config.max_length = POSITIONS
    model.generation_config.bad_words_ids = [[pad]]
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.fixture
def stand_in() -> Iterator[StandInHub]:
    with StandInHub() as hub:
        yield hub


@pytest.fixture
def echo(original: Path) -> Echo:
    model: Echo = Echo.from_pretrained(original).eval()
    return model


@pytest.fixture
def tokenizer(original: Path) -> MarianTokenizer:
    return MarianTokenizer.from_pretrained(original)


def asked(model: Echo, tokenizer: MarianTokenizer) -> list[str]:
    """The sentences that the model was given, in the order of the text's length."""
    return [tokenizer.decode(row, skip_special_tokens=True) for batch in model.batches for row in batch]


def sentence_of(run: Callable[[], object]) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        run()
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert "Error" not in text
    return text


# Texts


def test_a_translator_from_a_folder_answers_every_text_in_its_place(
    original: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    translator = Translator.load(str(original), device=CPU)
    capfd.readouterr()
    texts = ["A red cat.", "Two dogs run", "", "What is in the picture?", "The fox. A bird."]
    together = translator.translate(texts)
    assert len(together) == len(texts)
    assert together[2] == ""
    assert len(set(together)) > 2  # the model rambles, but about what it is given
    # Neither company nor order changes a translation.
    for order in (texts, texts[::-1]):
        fresh = Translator.load(str(original), device=CPU)
        assert [fresh.translate([text])[0] for text in order] == [together[texts.index(text)] for text in order]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        pytest.param("A red cat", ["A red cat"], id="no full stop"),
        pytest.param("A red cat. Two dogs run!", ["A red cat.", "Two dogs run!"], id="two sentences"),
        pytest.param("What is it? it is a cat.", ["What is it? it is a cat."], id="goes on in small letters"),
        pytest.param("¿Dónde está? ¡Aquí! El niño.", ["¿Dónde está?", "¡Aquí!", "El niño."], id="Spanish marks"),
        pytest.param("Mr. Brown runs. A dog sits.", ["Mr. Brown runs.", "A dog sits."], id="a title is no end"),
        pytest.param("It is 3.5 m long.", ["It is 3.5 m long."], id="a number is no end"),
        pytest.param("  A red cat  ", ["A red cat"], id="spaces around"),
        pytest.param("A red cat\nTwo dogs\n\n - a bird", ["A red cat", "Two dogs", "- a bird"], id="lines"),
        pytest.param("A red cat\r\nTwo dogs", ["A red cat", "Two dogs"], id="lines of Windows"),
        pytest.param(
            "<loc0001><loc0002><loc0300><loc1023> <seg001><seg127> cat ; <loc0001><loc0002><loc0300><loc1023> dog",
            ["cat ;", "dog"],
            id="location and mask tokens",
        ),
        pytest.param("", [], id="empty"),
        pytest.param(" \n ", [], id="white space"),
        pytest.param("42", [], id="a number"),
        pytest.param("12:30 — 3/4.", [], id="no letters"),
        pytest.param("<loc0001><loc0002><loc0300><loc1023>", [], id="tokens alone"),
    ],
)
def test_only_sentences_reach_the_model_and_all_else_stays(
    echo: Echo, tokenizer: MarianTokenizer, text: str, sentences: list[str]
) -> None:
    assert Translator(echo, tokenizer).translate([text]) == [text]
    assert sorted(asked(echo, tokenizer)) == sorted(sentences)


def test_the_same_sentence_is_translated_once(echo: Echo, tokenizer: MarianTokenizer) -> None:
    translator = Translator(echo, tokenizer)
    assert translator.translate(["A red cat.", "A red cat. A dog. A red cat.", "A dog."]) == [
        "A red cat.",
        "A red cat. A dog. A red cat.",
        "A dog.",
    ]
    translator.translate(["A dog.", " A red cat. "])
    assert sorted(asked(echo, tokenizer)) == ["A dog.", "A red cat."]


def test_only_so_many_translations_are_remembered_and_the_oldest_goes(echo: Echo, tokenizer: MarianTokenizer) -> None:
    translator = Translator(echo, tokenizer, remembered=2)
    for text in ("a cat", "a dog", "a cat", "a bird", "a cat", "a dog"):
        translator.translate([text])
    assert asked(echo, tokenizer) == ["a cat", "a dog", "a bird", "a dog"]


def test_one_call_may_hold_more_than_is_remembered(echo: Echo, tokenizer: MarianTokenizer) -> None:
    texts = ["a cat", "a dog", "a bird", "a fox"]
    assert Translator(echo, tokenizer, remembered=1).translate(texts) == texts


def test_sentences_go_in_batches_of_like_length(echo: Echo, tokenizer: MarianTokenizer) -> None:
    texts = ["The quick fox jumps over", "a cat", "a lazy hound sits on the mat", "a dog", "it"]
    assert Translator(echo, tokenizer, batch_size=2).translate(texts) == texts
    assert [len(batch) for batch in echo.batches] == [2, 2, 1]
    assert asked(echo, tokenizer) == sorted(texts, key=len)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("the red cat sits on the mat and " * 20 + "two dogs run", id="words without end"),
        pytest.param("x" * 200, id="one endless word"),
    ],
)
def test_what_is_longer_than_the_model_can_read_is_cut(echo: Echo, tokenizer: MarianTokenizer, text: str) -> None:
    (translation,) = Translator(echo, tokenizer).translate([text])
    assert translation.replace(" ", "") == text.replace(" ", "")
    assert all(len(row) <= POSITIONS for batch in echo.batches for row in batch)
    assert all(0 < length <= POSITIONS for length in echo.lengths)


def test_a_model_that_never_ends_a_sentence_is_stopped(original: Path) -> None:
    model = MarianMTModel.from_pretrained(original).eval()
    model.generation_config.bad_words_ids = None
    model.generation_config.forced_eos_token_id = None
    model.generation_config.suppress_tokens = [0]  # the end of the sentence
    tokenizer = MarianTokenizer.from_pretrained(original)
    (translation,) = Translator(model, tokenizer).translate(["The quick fox jumps over the lazy hound."])
    assert len(translation) < 20 * POSITIONS


def test_threads_that_want_the_same_get_one_translation(echo: Echo, tokenizer: MarianTokenizer) -> None:
    translator = Translator(echo, tokenizer)
    start = threading.Barrier(8)
    results: list[list[str]] = []

    def run() -> None:
        start.wait()
        results.append(translator.translate(["A red cat.", "A dog."]))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["A red cat.", "A dog."]] * 8
    assert len(asked(echo, tokenizer)) == 2


def test_memory_that_runs_out_is_a_sentence(original: Path, tokenizer: MarianTokenizer) -> None:
    translator = Translator(Exhausted.from_pretrained(original).eval(), tokenizer)
    assert "because memory ran out" in sentence_of(lambda: translator.translate(["A cat."]))


# Loading


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        pytest.param(lambda f: shutil.rmtree(f), "is missing", id="no folder"),
        pytest.param(
            lambda f: [(f / n).unlink() for n in ("source.spm", "vocab.json")],
            "it has no source.spm, vocab.json",
            id="no tokenizer",
        ),
        pytest.param(lambda f: (f / "model.safetensors").unlink(), "it has no weights", id="no weights"),
        pytest.param(lambda f: (f / "config.json").write_text("{"), "config.json of", id="broken config"),
        pytest.param(
            lambda f: (f / "config.json").write_text('{"model_type": "t5"}'), "of the kind “t5”", id="another kind"
        ),
        pytest.param(
            lambda f: (f / "model.safetensors").write_bytes(b"cut"), "files are damaged", id="damaged weights"
        ),
        pytest.param(lambda f: (f / "source.spm").write_bytes(b"cut"), "files are damaged", id="damaged tokenizer"),
    ],
)
def test_a_broken_translation_model_is_refused_with_what_is_wrong(
    folder: Path, break_it: Callable[[Path], object], says: str
) -> None:
    break_it(folder)
    assert says in sentence_of(lambda: Translator.load(str(folder), device=CPU))


def test_translators_are_loaded_when_they_are_needed_and_kept(folder: Path) -> None:
    translators = Translators({"en-es": str(folder), "es-en": "/no/such/place"}, device=CPU)
    assert translators.translate("es-en", ["", "42"]) == ["", "42"]  # needs no model
    first = translators.translate("en-es", ["A red cat."])
    shutil.rmtree(folder)
    assert translators.translate("en-es", ["A red cat."]) == first
    assert "/no/such/place is missing" in sentence_of(lambda: translators.translate("es-en", ["Un gato."]))
    said = sentence_of(lambda: translators.translate("en-fr", ["A cat."]))
    assert "no translator for en-fr, only for: en-es, es-en" in said


def test_who_comes_while_a_translator_is_loaded_does_not_wait_for_the_end_of_a_download(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "_PATIENCE", 0.01)
    begun, go, load = threading.Event(), threading.Event(), Translator.load

    def download(*arguments: object, **named: object) -> Translator:
        begun.set()
        go.wait(30)
        return load(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Translator, "load", download)
    translators = Translators({"en-es": str(folder)}, device=CPU)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(translators.translate, "en-es", ["A red cat."])
        assert begun.wait(30)
        assert "still being loaded" in sentence_of(lambda: translators.translate("en-es", ["A red cat."]))
        go.set()
        assert len(first.result(30)) == 1


def test_a_failure_is_remembered_for_a_while_and_then_tried_again(
    original: Path, stand_in: StandInHub, tmp_path: Path
) -> None:
    now = 1000.0
    hub = Hub(endpoint=stand_in.url, cache=tmp_path / "cache", token="", timeout=5)
    source = "Helsinki-NLP/opus-mt-en-es"
    translators = Translators({"en-es": source}, device=CPU, hub=hub, retry_after=60, clock=lambda: now)
    refused = sentence_of(lambda: translators.translate("en-es", ["A cat."]))
    assert f"There is no model {source}" in refused
    stand_in.add(source, original)
    requests = len(stand_in.requests)
    now += 59
    assert sentence_of(lambda: translators.translate("en-es", ["A cat."])) == refused
    assert len(stand_in.requests) == requests
    now += 2
    assert len(translators.translate("en-es", ["A cat."])) == 1


def test_what_was_downloaded_ahead_needs_no_hub_when_somebody_asks(
    original: Path, stand_in: StandInHub, tmp_path: Path
) -> None:
    hub = Hub(endpoint=stand_in.url, cache=tmp_path / "cache", token="", timeout=5)
    stand_in.add("Helsinki-NLP/opus-mt-en-es", original)
    sources = {"en-es": "Helsinki-NLP/opus-mt-en-es", "es-en": "Helsinki-NLP/not-there"}
    translators = Translators(sources, device=CPU, hub=hub)
    told: list[str] = []
    translators.download(lambda _, what: told.append(what))
    stand_in.close()
    assert "Helsinki-NLP/opus-mt-en-es" in told[-1]
    assert len(translators.translate("en-es", ["A cat."])) == 1
    with pytest.raises(ModelUnavailable):
        translators.translate("es-en", ["Un gato."])


@pytest.mark.parametrize("pickled", [pytest.param(True, id="pickled only"), pytest.param(False, id="both kinds")])
def test_a_translation_model_comes_from_the_hub_without_what_it_does_not_need(
    original: Path, stand_in: StandInHub, tmp_path: Path, pickled: bool
) -> None:
    source = "Helsinki-NLP/opus-mt-en-es"
    served = stand_in.add(source, original)
    weights = io.BytesIO()
    torch.save(MarianMTModel.from_pretrained(original).state_dict(), weights)
    served.files |= {"pytorch_model.bin": weights.getvalue(), "tf_model.h5": b"tensorflow", "README.md": b"# Opus"}
    if pickled:
        del served.files["model.safetensors"]
    hub = Hub(endpoint=stand_in.url, cache=tmp_path / "cache", token="", timeout=5)
    expected = Translator.load(str(original), device=CPU).translate(["A red cat."])
    assert Translator.load(source, device=CPU, hub=hub).translate(["A red cat."]) == expected
    names = {path.split("/", 1)[1] for path in stand_in.downloads()}
    assert ("pytorch_model.bin" in names) == pickled
    assert not names & {"tf_model.h5", "README.md"}
    stand_in.close()
    assert Translator.load(source, device=CPU, hub=hub).translate(["A red cat."]) == expected


def test_pickled_weights_that_would_run_code_are_refused(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Evil()}, folder / "pytorch_model.bin")
    assert "files are damaged" in sentence_of(lambda: Translator.load(str(folder), device=CPU))
    assert not marker.exists()
