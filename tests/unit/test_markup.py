"""What becomes HTML: everything from outside is escaped, and numbers read well."""

import re

import pytest

from inference.differences import Pair
from inference.types import Detection
from ui import markup
from ui.compare_markup import thing_differences
from ui.markup import Words
from ui.naming import Naming, language_of
from ui.texts import Texts

HOSTILE = ["<script>alert(1)</script>", "<loc0001>", "<img src=x onerror=alert(1)>", "\" onclick='x'", "&lt;b&gt;"]
WORDS = Words(Texts.read(), "en")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda text: markup.answer(text, translation=text, words=WORDS), id="answer"),
        pytest.param(lambda text: markup.writing(text, words=WORDS), id="writing"),
        pytest.param(lambda text: markup.legend([(text, (255, 0, 10), 2)]), id="legend"),
        pytest.param(lambda text: markup.notes([text]), id="notes"),
        pytest.param(lambda text: markup.status([text]), id="status"),
        pytest.param(lambda text: markup.banner(text, text=text, more=(text, text, text)), id="banner"),
        pytest.param(
            lambda text: markup.table(
                [Detection(text, (0, 0, 1, 1), 0.5, translated_label=text)], colours={text: (255, 0, 10)}, words=WORDS
            ),
            id="table",
        ),
        pytest.param(
            lambda text: markup.table(
                [Detection(text, (0, 0, 1, 1), 0.5)], colours={text: (255, 0, 10)}, words=WORDS, size=(10, 10)
            ),
            id="table that can be clicked",
        ),
        pytest.param(lambda text: markup.thread([(text, text)], chosen=0, words=WORDS), id="thread"),
        pytest.param(
            lambda text: markup.answer(text, translation=None, words=WORDS, naming=Naming.read()),
            id="answer with words",
        ),
    ],
)
def test_what_comes_from_outside_is_escaped(made, text: str) -> None:
    assert text not in made(text)


def test_an_empty_answer_says_so() -> None:
    assert WORDS("result.nothing") in markup.answer(" \n", translation=None, words=WORDS)
    assert WORDS("result.no_text") in markup.answer("", translation=None, words=WORDS, task="read_text")


def test_things_that_differ_are_called_as_in_the_drawings_beside_them() -> None:
    boat, translated = (Detection("boat", (0, 0, 9, 9), 0.5, translated_label=label) for label in (None, "barco"))
    pairs = [Pair(translated, None), Pair(None, boat)]
    spanish = thing_differences(pairs, words=Words(Texts.read(), "es"))
    assert re.findall("<td>(barco|boat)</td>", spanish) == ["barco", "boat"]
    assert re.findall("<td>(barco|boat)</td>", thing_differences(pairs, words=WORDS)) == ["boat", "boat"]


@pytest.mark.parametrize(
    ("scores", "threshold", "hidden", "sentence"),
    [
        ((), 0.0, 0, "Nothing found."),
        ((0.9,), 0.0, 0, "Found 1 thing."),
        ((0.9, 0.8), 0.0, 0, "Found 2 things."),
        ((0.9, 0.2), 0.5, 1, "Found 1 thing. 1 more is less sure than 50% and hidden."),
        ((0.9, 0.2, 0.1), 0.5, 2, "Found 1 thing. 2 more are less sure than 50% and hidden."),
        ((0.1,), 0.5, 1, "1 thing is less sure than 50% and hidden."),
        ((0.2, 0.1), 0.5, 2, "All 2 things are less sure than 50% and hidden."),
    ],
)
def test_the_summary_counts_what_is_shown_and_hidden(
    scores: tuple[float, ...], threshold: float, hidden: int, sentence: str
) -> None:
    detections = [Detection("cat", (0, 0, 1, 1), score) for score in scores]
    assert sentence in markup.summary(detections, hidden=hidden, threshold=threshold, words=WORDS)


def test_a_table_without_translations_has_no_column_for_them() -> None:
    table = markup.table([Detection("cat", (0, 0, 1, 1), None)], colours={"cat": (255, 0, 10)}, words=WORDS)
    assert "Etiqueta" not in table
    assert "–" in table  # there is no score


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("Two red cats on a sofa.", ["cats", "sofa"], id="numbers, colours and short words"),
        pytest.param("A T-shirt and a dog's bowl", ["t-shirt", "dog's", "bowl"], id="signs in a word"),
        pytest.param("yes", [], id="no thing"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_words_that_may_name_a_thing_are_told_from_others(text: str, names: list[str]) -> None:
    pieces = list(Naming.read().pieces(text))
    assert "".join(piece for piece, _ in pieces) == text
    assert [name for _, name in pieces if name] == names


@pytest.mark.parametrize(
    ("prompt", "language"),
    [("cap en", "en"), ("describe en", "en"), ("answer fil what?", "fil"), ("caption es", "es"), ("ocr", ""),
     ("detect cat", ""), ("captain en", ""), ("describe the cat", ""), ("answer me", "")],
)  # fmt: skip
def test_the_language_of_the_models_own_words_is_told_from_text_that_it_read(prompt: str, language: str) -> None:
    assert language_of(prompt) == language


@pytest.mark.parametrize(
    ("text", "translation", "language", "headings"),
    [
        pytest.param("a boat", "un barco", "en", ["English", "Español"], id="English and Spanish"),
        pytest.param("no", "no", "en", ["English", "Español"], id="the same in both"),
        pytest.param("un barco", "un barco", "es", ["Español"], id="Spanish of the model's own"),
        pytest.param("AUSGANG", "salida", "", ["Answer", "Español"], id="read from a picture"),
        pytest.param("un bateau", None, "fr", ["Answer"], id="another language"),
    ],
)
def test_an_answer_is_headed_by_its_language_where_that_is_known(
    text: str, translation: str | None, language: str, headings: list[str]
) -> None:
    html = markup.answer(text, translation=translation, words=WORDS, language=language)
    assert re.findall(r"<h3>(.*?)</h3>", html) == headings
    assert (f' lang="{language}"' in html) == bool(language)


def test_a_row_says_where_its_thing_is() -> None:
    table = markup.table(
        [Detection("cat", (10, 40, 30, 80), None)], colours={"cat": (255, 0, 10)}, words=WORDS, size=(40, 80)
    )
    assert 'data-place="0.25000 0.50000 0.50000 0.50000" style="--colour:#ff000a"' in table
