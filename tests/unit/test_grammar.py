"""The grammar: agreement and contractions in both languages, and answers that are true of their scene."""

import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from training.grammar import (
    WORDS,
    Example,
    absent_phrases,
    caption,
    caption_facts,
    comparison_examples,
    description,
    description_examples,
    phrase,
    questions,
    riddles,
    scene_facts,
    short_caption,
    text_examples,
    vocabulary_corpus,
)
from training.lexicon import COLOURS, KINDS, Colour, Kind
from training.phrases import (
    RELATIONS,
    NounPhrase,
    Phrase,
    ask_colour,
    ask_count,
    ask_related,
    ask_whether_related,
    joined,
    one_above_the_other,
    related,
    side_by_side,
)
from training.world import Scene, Thing, Writing

SIDE = 100
KIND: dict[str, Kind] = {kind.en: kind for kind in KINDS}
COLOUR: dict[str, Colour] = {colour.en: colour for colour in COLOURS}


def noun(words: str, count: int = 1) -> NounPhrase:
    """A noun phrase from its English words: "red star"."""
    *colour, kind = words.split()
    return NounPhrase(KIND[kind], tuple(COLOUR[word] for word in colour), count)


def thing(words: str, x: float, y: float, radius: float = 8) -> Thing:
    """A thing around a middle, given in pixels of a picture of 100."""
    colour, kind = words.split()
    box = (x - radius, y - radius, x + radius, y + radius)
    return Thing(KIND[kind], COLOUR[colour], box, np.zeros((SIDE, SIDE), bool))


def scene(*things: Thing, writing: str | None = None) -> Scene:
    """A picture of 100 pixels with these things."""
    ordered = tuple(sorted(things, key=lambda one: one.centre[0]))
    return Scene(0, Image.new("RGB", (SIDE, SIDE)), ordered, Writing(writing, (0, 0, 9, 9)) if writing else None)


def random_scene(seed: int) -> Scene:
    """Any scene, without a picture."""
    rng = random.Random(seed)
    things = [
        thing(
            f"{rng.choice(COLOURS).en} {rng.choice(KINDS).en}",
            rng.uniform(10, 90),
            rng.uniform(10, 90),
            rng.uniform(4, 12),
        )
        for _ in range(rng.randint(1, 5))
    ]
    return scene(*things, writing=rng.choice((None, "OPEN", "HELLO WORLD")))


STAR, RINGS, HEART = noun("red star"), noun("blue ring", 2), noun("blue heart")


@pytest.mark.parametrize(
    ("made", "english", "spanish"),
    [
        pytest.param(STAR.indefinite(), "a red star", "una estrella roja", id="feminine singular"),
        pytest.param(RINGS.indefinite(), "two blue rings", "dos anillos azules", id="masculine plural"),
        pytest.param(
            noun("orange arrow").indefinite(), "an orange arrow", "una flecha naranja", id="an before a vowel"
        ),
        pytest.param(noun("arrow").indefinite(), "an arrow", "una flecha", id="an before a vowel, no colour"),
        pytest.param(
            noun("white fish", 3).indefinite(), "three white fish", "tres peces blancos", id="invariable fish"
        ),
        pytest.param(noun("red cross", 2).definite(), "the red crosses", "las cruces rojas", id="cruz becomes cruces"),
        pytest.param(HEART.definite(), "the blue heart", "el corazón azul", id="masculine article"),
        pytest.param(
            related(STAR.indefinite(), RELATIONS["left"], RINGS.indefinite()),
            "a red star to the left of two blue rings",
            "una estrella roja a la izquierda de dos anillos azules",
            id="relation to new things",
        ),
        pytest.param(
            related(STAR.definite(), RELATIONS["left"], HEART.definite()),
            "the red star to the left of the blue heart",
            "la estrella roja a la izquierda del corazón azul",
            id="de el contracts to del",
        ),
        pytest.param(
            related(HEART.definite(), RELATIONS["above"], STAR.definite()),
            "the blue heart above the red star",
            "el corazón azul encima de la estrella roja",
            id="de la does not contract",
        ),
        pytest.param(
            side_by_side(noun("green key", 2)),
            "two green keys side by side",
            "dos llaves verdes una al lado de la otra",
            id="feminine pair",
        ),
        pytest.param(
            one_above_the_other(noun("black boat", 2)),
            "two black boats one above the other",
            "dos barcos negros uno encima del otro",
            id="masculine pair contracts",
        ),
        pytest.param(
            ask_colour(noun("tree"))[1],
            "What is the color of the tree?",
            "¿Cuál es el color del árbol?",
            id="color del",
        ),
        pytest.param(
            ask_colour(noun("cup", 2))[0], "What color are the cups?", "¿De qué color son las tazas?", id="plural verb"
        ),
        pytest.param(
            ask_count(noun("white house"))[0],
            "How many white houses are there?",
            "¿Cuántas casas blancas hay?",
            id="cuántas",
        ),
        pytest.param(ask_count(noun("ring"))[0], "How many rings are there?", "¿Cuántos anillos hay?", id="cuántos"),
        pytest.param(
            ask_related("below", HEART)[0],
            "What is below the blue heart?",
            "¿Qué hay debajo del corazón azul?",
            id="question with del",
        ),
        pytest.param(
            ask_whether_related(STAR, "right", noun("tree"))[0],
            "Is the red star to the right of the tree?",
            "¿Está la estrella roja a la derecha del árbol?",
            id="yes or no with del",
        ),
        pytest.param(
            joined([Phrase("a boat", "un barco"), Phrase("an island", "isla")]),
            "a boat and an island",
            "un barco e isla",
            id="y becomes e before i",
        ),
        pytest.param(
            joined([STAR.indefinite(), HEART.indefinite(), RINGS.indefinite()]),
            "a red star, a blue heart and two blue rings",
            "una estrella roja, un corazón azul y dos anillos azules",
            id="list of three",
        ),
    ],
)
def test_both_languages(made: Phrase, english: str, spanish: str) -> None:
    assert (made.en, made.es) == (english, spanish)


@pytest.mark.parametrize(
    ("drawn", "english", "spanish"),
    [
        pytest.param(
            scene(thing("red star", 10, 10)),
            "a red star at the top left",
            "una estrella roja arriba a la izquierda",
            id="alone",
        ),
        pytest.param(
            scene(thing("red star", 20, 50), thing("blue ring", 50, 50), thing("blue ring", 80, 40)),
            "a red star to the left of two blue rings",
            "una estrella roja a la izquierda de dos anillos azules",
            id="left of a group",
        ),
        pytest.param(
            scene(thing("red star", 45, 20), thing("blue ring", 55, 80)),
            "a red star above a blue ring",
            "una estrella roja encima de un anillo azul",
            id="above",
        ),
        pytest.param(
            scene(thing("red star", 45, 80), thing("blue ring", 55, 20)),
            "a red star below a blue ring",
            "una estrella roja debajo de un anillo azul",
            id="below",
        ),
        pytest.param(
            scene(thing("red star", 20, 50), thing("blue ring", 50, 50), thing("red star", 80, 50)),
            "two red stars next to a blue ring",
            "dos estrellas rojas al lado de un anillo azul",
            id="a group on both sides is not left of it",
        ),
        pytest.param(
            scene(
                thing("red key", 10, 50), thing("red cup", 30, 50), thing("red key", 60, 50), thing("red cross", 90, 50)
            ),
            "two red keys with a red cup and a red cross",
            "dos llaves rojas con una taza roja y una cruz roja",
            id="no relation holds",
        ),
        pytest.param(
            scene(thing("red key", 20, 50), thing("red key", 80, 60)),
            "two red keys side by side",
            "dos llaves rojas una al lado de la otra",
            id="one pair",
        ),
    ],
)
def test_caption(drawn: Scene, english: str, spanish: str) -> None:
    assert caption(drawn) == Phrase(english, spanish)


def test_description_tells_count_places_and_writing() -> None:
    drawn = scene(thing("red star", 10, 50), thing("blue ring", 50, 50), thing("blue ring", 90, 90), writing="OPEN")
    assert description(drawn) == Phrase(
        "There are three things. A red star is on the left, a blue ring in the middle and a blue ring at the bottom "
        'right. The text says "OPEN".',
        "Hay tres cosas. Una estrella roja está a la izquierda, un anillo azul en el centro y un anillo azul abajo a "
        'la derecha. El texto dice "OPEN".',
    )


@pytest.mark.parametrize("seed", range(30))
def test_every_description_parses_to_the_facts_of_its_scene(seed: int) -> None:
    drawn = random_scene(seed)
    for made in (short_caption(drawn), caption(drawn), description(drawn)):
        assert caption_facts(made.en, "en") == scene_facts(drawn)
        assert caption_facts(made.es, "es") == scene_facts(drawn)


@pytest.mark.parametrize(
    ("text", "language", "facts"),
    [
        pytest.param("", "en", {}, id="empty"),
        pytest.param("a star", "en", {("star", ""): 1}, id="no colour"),
        pytest.param("a red blob", "en", {("", "red"): 1}, id="no kind"),
        pytest.param("two blue rings and a blue ring", "en", {("ring", "blue"): 3}, id="adds up"),
        pytest.param("a starfish in a treehouse", "en", {}, id="only whole words"),
        pytest.param('The text says "RED STAR".', "en", {}, id="writing is no thing"),
        pytest.param("dos peces negros", "es", {("fish", "black"): 2}, id="Spanish plural"),
        pytest.param("roja estrella", "es", {("", "red"): 1, ("star", ""): 1}, id="Spanish in the wrong order"),
        pytest.param("a red star", "es", {}, id="wrong language"),
    ],
)
def test_caption_facts(text: str, language: str, facts: dict[tuple[str, str], int]) -> None:
    assert caption_facts(text, language) == Counter(facts)  # type: ignore[arg-type]  # a table of plain strings


def answers(drawn: Scene) -> dict[str, str]:
    """English answers by every wording."""
    found: dict[str, str] = {}
    for seed in range(20):
        for question in questions(drawn, random.Random(seed)):
            for wording in question.wordings:
                assert found.setdefault(wording.en, question.answer.en) == question.answer.en
    return found


def test_answers_are_true() -> None:
    drawn = scene(
        thing("red star", 12, 12, 6), thing("blue ring", 50, 50, 6), thing("blue ring", 70, 88, 20), writing="OPEN"
    )
    known = answers(drawn)
    expected = {
        "What color is the star?": "red",
        "What color are the rings?": "blue",
        "How many things are there?": "3",
        "How many rings are there?": "2",
        "How many blue rings are there?": "2",
        "Is there a red star?": "yes",
        "Is the star red?": "yes",
        "Where is the star?": "at the top left",
        "Which thing is the biggest?": "blue ring",
        "What is to the left of the star?": "nothing",
        "Which thing is red?": "star",
        "What does the text say?": "OPEN",
    }
    assert {question: known.get(question) for question in expected} == expected


@pytest.mark.parametrize(
    ("drawn", "question"),
    [
        pytest.param(
            scene(thing("red star", 9, 9), thing("blue star", 90, 9)), "What color is the star?", id="two stars"
        ),
        pytest.param(scene(thing("red star", 34, 50)), "Where is the star?", id="on a line of the grid"),
        pytest.param(
            scene(thing("red star", 9, 9, 8), thing("blue ring", 90, 9, 8.5)),
            "Which thing is the biggest?",
            id="equal sizes",
        ),
        pytest.param(
            scene(thing("red star", 50, 9), thing("blue ring", 52, 90)), "What is to the left of the ring?", id="near"
        ),
        pytest.param(
            scene(thing("red star", 9, 9), thing("red ring", 90, 9)), "Which thing is red?", id="two red ones"
        ),
    ],
)
def test_a_question_without_one_answer_is_not_asked(drawn: Scene, question: str) -> None:
    assert question not in answers(drawn)


def test_yes_and_no_are_balanced() -> None:
    drawn = [random_scene(seed) for seed in range(200)]
    given = Counter(
        question.answer.en
        for one in drawn
        for question in questions(one, random.Random(1))
        if question.kind == "presence"
    )
    assert set(given) == {"yes", "no"}
    assert given["yes"] == pytest.approx(given["no"], rel=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_a_riddle_asks_a_question_that_has_its_answer(seed: int) -> None:
    drawn = random_scene(seed)
    known = answers(drawn)
    for riddle in riddles(drawn):
        assert known.get(riddle.question.en, riddle.answer.en) == riddle.answer.en


@pytest.mark.parametrize("seed", range(20))
def test_absent_phrases_are_absent(seed: int) -> None:
    drawn = random_scene(seed)
    present = {phrase(one, with_colour) for one in drawn.things for with_colour in (True, False)}
    absent = absent_phrases(drawn, random.Random(seed))
    assert absent
    assert not present & set(absent)


def all_examples(scene: Scene, seed: int) -> list[Example]:
    rng = random.Random(seed)
    return [*description_examples(scene, rng), *text_examples(scene, rng), *comparison_examples(scene, rng, pairs=3)]


def test_the_same_prompt_never_has_two_targets() -> None:
    for seed in range(10):
        drawn = random_scene(seed)
        targets: dict[str, str] = {}
        for draw in range(60):
            for example in all_examples(drawn, draw):
                assert targets.setdefault(example.prompt, example.target) == example.target


def test_examples_cover_every_task() -> None:
    prefixes = {
        tuple(example.prompt.split()[:2]) for seed in range(20) for example in all_examples(random_scene(seed), seed)
    }
    tasks = {
        (task, language) for task in ("cap", "caption", "describe", "answer", "question") for language in ("en", "es")
    }
    assert tasks <= prefixes
    assert ("ocr",) in prefixes


def test_the_corpus_holds_every_word_of_the_examples() -> None:
    known = {word for text in vocabulary_corpus() for word in words(text)}
    for seed in range(150):
        for example in all_examples(random_scene(seed), seed):
            assert set(words(example.prompt + " " + example.target)) <= known


def words(text: str) -> list[str]:
    """The words of a text without its punctuation marks."""
    return [word.strip('¿?.,"') for word in text.split() if word.strip('¿?.,"')]


def test_words_can_be_written_and_are_different() -> None:
    assert len(set(WORDS)) == len(WORDS) == 40
    assert all(word.isalpha() and word.isupper() and 2 <= len(word) <= 7 for word in WORDS)
