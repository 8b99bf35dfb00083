"""The notices at the top of the page, in the language of who reads it."""

import pytest

from inference.hosting import ModelStatus
from inference.sentences import Sentence
from ui.banner import notices
from ui.markup import Words
from ui.texts import Texts

DAMAGED = Sentence(
    "The file {path} is damaged: {why}. Copy it again.", path="x", why=Sentence("it is not a safetensors file")
)
DEMO = ModelStatus("demo", "ready", detail=Sentence("{name} was asked for.", name="demo"), embedded=True)
BIG = ModelStatus("big", "failed", detail=DAMAGED)


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ("small practice model", "demo was asked for.", "big is not available.", "The file x is damaged")),
        ("es", ("modelo pequeño de práctica", "Se pidió demo.", "big no está disponible.", "El archivo x está dañado")),
        ("zh", ("指定使用 demo。", "big 不可用。", "文件 x 已损坏：它不是 safetensors 文件。")),
    ],
)
def test_notices_say_in_the_readers_language_why_a_model_is_there_and_another_is_not(
    language: str, sentences: tuple[str, ...]
) -> None:
    settled, pending = notices((DEMO, BIG), Words(Texts.read(), language))
    for sentence in sentences:
        assert sentence in settled
    assert "python app.py --model 3b" in settled
    assert pending == ""
