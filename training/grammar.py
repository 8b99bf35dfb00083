"""What can be said and asked about a scene: prompts and their right answers, in English and Spanish.

Knows what is true of a scene and which wording each task wants. Knows nothing of drawing, tokens or models, and nothing
of boxes as text: that is the business of the one who encodes detections. A target depends on the scene and the prompt
alone, chance only chooses what is asked and in which words; a question whose answer would be a matter of taste (a thing
between two places, two things nearly as big) is not asked.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeVar

from training.lexicon import COLOURS, KINDS, Colour, Kind
from training.phrases import (
    CAPTION_REQUESTS,
    LANGUAGES,
    LONG_REQUESTS,
    NEXT_TO,
    NO,
    NOTHING,
    NUMBERS,
    PLACES,
    READ_REQUESTS,
    RELATIONS,
    SHORT_REQUESTS,
    THING,
    YES,
    Language,
    NounPhrase,
    Phrase,
    Place,
    Relation,
    accompanied,
    all_texts,
    ask_attribute,
    ask_colour,
    ask_count,
    ask_extreme,
    ask_place,
    ask_presence,
    ask_related,
    ask_what_at,
    ask_what_is_of,
    ask_whether_related,
    ask_writing,
    described,
    how_many,
    joined,
    located,
    one_above_the_other,
    placed,
    related,
    says,
    side_by_side,
)
from training.world import Scene, Thing

_T = TypeVar("_T")

WORDS: tuple[str, ...] = (
    "OPEN", "EXIT", "CAFE", "SALE", "HELLO", "WORLD", "STOP", "GO", "TAXI", "BUS",
    "HOTEL", "BAR", "MENU", "PIZZA", "BREAD", "MILK", "TEA", "BOOKS", "SHOP", "PARK",
    "ZOO", "BEACH", "SUN", "SEA", "SKY", "LOVE", "HOME", "TOWN", "CITY", "ROAD",
    "NORTH", "SOUTH", "EAST", "WEST", "PUSH", "PULL", "NEW", "FREE", "WELCOME", "MUSIC",
)  # fmt: skip
"""What may be written in a picture; a phrase is two of them."""

MOST_THINGS = 5
"""The most things that a scene holds."""

_PLACE_MARGIN = 0.03
"""How far, in sides of the picture, a thing lies from a line of the 3x3 grid for its place to be beyond dispute."""

_SIDE_MARGIN = 0.08
"""How far, in sides of the picture, two centres are apart for one to be left of, or above, the other."""

_SIZE_MARGIN = 1.35
"""How many times as large as the next box the biggest (and the smallest the next) must be."""

_OPPOSITE: dict[Relation, Relation] = {"left": "right", "right": "left", "above": "below", "below": "above"}

QuestionKind = Literal["colour", "count", "presence", "place", "size", "relation", "comparison", "which", "writing"]


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt as the model gets it and the text that it should answer."""

    prompt: str
    target: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a scene with its one right answer.

    Attributes:
        kind: What it asks for.
        wordings: The same question in several wordings, the canonical one first.
        answer: The answer.
    """

    kind: QuestionKind
    wordings: tuple[Phrase, ...]
    answer: Phrase


@dataclass(frozen=True, slots=True)
class Riddle:
    """An answer with the one question that is asked for it."""

    answer: Phrase
    question: Phrase


# Captions


def short_caption(scene: Scene) -> Phrase:
    """All things with their colours, left to right, equal ones together: "a red star and two blue rings"."""
    return joined([_group_phrase(group).indefinite() for group in _groups(scene.things)])


def caption(scene: Scene) -> Phrase:
    """One sentence with a relation: "a red star to the left of two blue rings"."""
    groups = _groups(scene.things)
    first = groups[0]
    if len(groups) > 1:
        rest = joined([_group_phrase(group).indefinite() for group in groups[1:]])
        relation = _group_relation(first, list(chain.from_iterable(groups[1:])), groups=len(groups))
        name = _group_phrase(first).indefinite()
        return accompanied(name, rest) if relation is None else related(name, relation, rest)
    if len(first) == 1:
        return placed(_group_phrase(first).indefinite(), PLACES[place_of(first[0], scene)])
    if len(first) == 2:
        (x_one, y_one), (x_two, y_two) = first[0].centre, first[1].centre
        beside = abs(x_one - x_two) >= abs(y_one - y_two)
        return side_by_side(_group_phrase(first)) if beside else one_above_the_other(_group_phrase(first))
    return placed(_group_phrase(first).indefinite(), Phrase("in the picture", "en la imagen"))


def description(scene: Scene) -> Phrase:
    """Two to four sentences: how many things, each with its colour and place, and what is written."""
    things = [(_noun(thing), PLACES[place_of(thing, scene)]) for thing in scene.things]
    return described(things, scene.writing.text if scene.writing else None)


def place_of(thing: Thing, scene: Scene) -> Place:
    """The cell of the 3x3 grid that holds the middle of a thing's box."""
    x, y = thing.centre
    return _third(y / scene.image.height), _third(x / scene.image.width)


def _third(share: float) -> Literal[0, 1, 2]:
    return 0 if share < 1 / 3 else 1 if share < 2 / 3 else 2


def _place_is_clear(thing: Thing, scene: Scene) -> bool:
    x, y = thing.centre
    shares = (x / scene.image.width, y / scene.image.height)
    return all(abs(share - line) > _PLACE_MARGIN for share in shares for line in (1 / 3, 2 / 3))


def _noun(thing: Thing, *, with_colour: bool = True) -> NounPhrase:
    return NounPhrase(thing.kind, (thing.colour,) if with_colour else ())


def _groups(things: Sequence[Thing]) -> list[list[Thing]]:
    """Equal things together, each group where its first member stands."""
    groups: dict[tuple[Kind, Colour], list[Thing]] = {}
    for thing in things:
        groups.setdefault((thing.kind, thing.colour), []).append(thing)
    return list(groups.values())


def _group_phrase(group: Sequence[Thing]) -> NounPhrase:
    return NounPhrase(group[0].kind, (group[0].colour,), len(group))


def _group_relation(first: Sequence[Thing], rest: Sequence[Thing], *, groups: int) -> Phrase | None:
    """How the first group lies to the others, None where nothing simple holds."""
    is_left = max(thing.centre[0] for thing in first) < min(thing.centre[0] for thing in rest)
    if groups > 2:
        return RELATIONS["left"] if is_left else None
    dx = abs(_mean(first, 0) - _mean(rest, 0))
    dy = abs(_mean(first, 1) - _mean(rest, 1))
    if dx >= dy:
        return RELATIONS["left"] if is_left else NEXT_TO
    if max(thing.centre[1] for thing in first) < min(thing.centre[1] for thing in rest):
        return RELATIONS["above"]
    if min(thing.centre[1] for thing in first) > max(thing.centre[1] for thing in rest):
        return RELATIONS["below"]
    return NEXT_TO


def _mean(things: Sequence[Thing], axis: int) -> float:
    return sum(thing.centre[axis] for thing in things) / len(things)


# Questions


def questions(scene: Scene, rng: random.Random) -> list[Question]:
    """Questions of every kind that this scene answers without doubt, yes and no equally often.

    Args:
        scene: What is asked about.
        rng: Chooses which absent things are asked for.
    """
    return [
        *_colour_questions(scene),
        *_count_questions(scene, rng),
        *_presence_questions(scene, rng),
        *_place_questions(scene),
        *_size_questions(scene),
        *_relation_questions(scene, rng),
        *chain.from_iterable(_comparisons(scene, rng)),
        *_which_questions(scene),
        Question("writing", ask_writing(), _verbatim(scene.writing.text) if scene.writing else NOTHING),
    ]


def _verbatim(text: str) -> Phrase:
    return Phrase(text, text)


def _of_kind(scene: Scene, kind: Kind) -> list[Thing]:
    return [thing for thing in scene.things if thing.kind == kind]


def _kinds(scene: Scene) -> list[Kind]:
    return list(dict.fromkeys(thing.kind for thing in scene.things))


def _names(thing: Thing, scene: Scene) -> list[NounPhrase]:
    """The ways to name this thing and no other one of the scene, the shortest first."""
    same_kind = _of_kind(scene, thing.kind)
    names = [_noun(thing, with_colour=False)] if len(same_kind) == 1 else []
    if sum(other.colour == thing.colour for other in same_kind) == 1:
        names.append(_noun(thing))
    return names


def _colour_questions(scene: Scene) -> Iterator[Question]:
    for kind in _kinds(scene):
        things = _of_kind(scene, kind)
        if len({thing.colour for thing in things}) == 1:
            named = NounPhrase(kind, count=len(things))
            yield Question("colour", ask_colour(named), named.agreeing(things[0].colour))


def _count_questions(scene: Scene, rng: random.Random) -> Iterator[Question]:
    yield Question("count", ask_count(NounPhrase(THING)), _verbatim(str(len(scene.things))))
    for kind in _kinds(scene):
        yield Question("count", ask_count(NounPhrase(kind)), _verbatim(str(len(_of_kind(scene, kind)))))
    for group in _groups(scene.things):
        yield Question("count", ask_count(_group_phrase(group)), _verbatim(str(len(group))))
    yield Question("count", ask_count(_absent(scene, rng)), _verbatim("0"))


def _presence_questions(scene: Scene, rng: random.Random) -> Iterator[Question]:
    for thing in rng.sample(scene.things, min(2, len(scene.things))):
        yield Question("presence", ask_presence(_noun(thing, with_colour=rng.random() < 0.6)), YES)
        yield Question("presence", ask_presence(_absent(scene, rng)), NO)
    for kind in _kinds(scene):
        things = _of_kind(scene, kind)
        if len(things) == 1:
            named, colour = NounPhrase(kind), things[0].colour
            wrong = rng.choice([other for other in COLOURS if other != colour])
            yield Question("presence", ask_attribute(named, colour), YES)
            yield Question("presence", ask_attribute(named, wrong), NO)


def _place_questions(scene: Scene) -> Iterator[Question]:
    for thing in scene.things:
        if _place_is_clear(thing, scene):
            for name in _names(thing, scene):
                yield Question("place", ask_place(name), PLACES[place_of(thing, scene)])


def _size_questions(scene: Scene) -> Iterator[Question]:
    if len(scene.things) < 2:
        return
    ordered = sorted(scene.things, key=_box_area)
    if _box_area(ordered[-1]) > _SIZE_MARGIN * _box_area(ordered[-2]):
        yield Question("size", ask_extreme("biggest"), _noun(ordered[-1]).bare())
    if _box_area(ordered[1]) > _SIZE_MARGIN * _box_area(ordered[0]):
        yield Question("size", ask_extreme("smallest"), _noun(ordered[0]).bare())


def _box_area(thing: Thing) -> float:
    x_min, y_min, x_max, y_max = thing.box
    return (x_max - x_min) * (y_max - y_min)


def _relation_questions(scene: Scene, rng: random.Random) -> Iterator[Question]:
    for thing in scene.things:
        names = _names(thing, scene)
        if not names:
            continue
        for relation in RELATIONS:
            distances = [
                (other, _distance(other, thing, relation, scene)) for other in scene.things if other is not thing
            ]
            beyond = [other for other, distance in distances if distance > 0]
            if all(abs(distance) > _SIDE_MARGIN for _, distance in distances) and len(beyond) < 2:
                answer = _noun(beyond[0]).bare() if beyond else NOTHING
                yield Question("relation", ask_related(relation, rng.choice(names)), answer)


def _comparisons(scene: Scene, rng: random.Random) -> list[tuple[Question, Question]]:
    """Each pair of things that can be told apart, and a side on which one lies beyond dispute: a yes and a no."""
    found = []
    for thing in scene.things:
        for other in scene.things:
            for relation in RELATIONS:
                if other is thing or _distance(thing, other, relation, scene) <= _SIDE_MARGIN:
                    continue
                names, others = _names(thing, scene), _names(other, scene)
                if not names or not others:
                    continue
                name, other_name = rng.choice(names), rng.choice(others)
                wrong = (name, _OPPOSITE[relation], other_name) if rng.random() < 0.5 else (other_name, relation, name)
                found.append(
                    (
                        Question("comparison", ask_whether_related(name, relation, other_name), YES),
                        Question("comparison", ask_whether_related(*wrong), NO),
                    )
                )
    return found


def _distance(thing: Thing, other: Thing, relation: Relation, scene: Scene) -> float:
    """How far a thing lies beyond another on the side that the relation names, in sides of the picture."""
    dx = (thing.centre[0] - other.centre[0]) / scene.image.width
    dy = (thing.centre[1] - other.centre[1]) / scene.image.height
    return {"left": -dx, "right": dx, "above": -dy, "below": dy}[relation]


def _which_questions(scene: Scene) -> Iterator[Question]:
    for thing in scene.things:
        if sum(other.colour == thing.colour for other in scene.things) == 1:
            yield Question("which", ask_what_is_of(thing.colour), _noun(thing, with_colour=False).bare())
    if not all(_place_is_clear(thing, scene) for thing in scene.things):
        return
    places = Counter(place_of(thing, scene) for thing in scene.things)
    for thing in scene.things:
        place = place_of(thing, scene)
        if places[place] == 1:
            yield Question("which", ask_what_at(PLACES[place]), _noun(thing).bare())


def _absent(scene: Scene, rng: random.Random) -> NounPhrase:
    """Something that is not there: of a missing kind, or of a kind that is there but in another colour."""
    present = {(thing.kind, thing.colour) for thing in scene.things}
    if rng.random() < 0.4:
        kind = rng.choice(_kinds(scene))
        colour = rng.choice([colour for colour in COLOURS if (kind, colour) not in present])
        return NounPhrase(kind, (colour,))
    kind = rng.choice([kind for kind in KINDS if kind not in _kinds(scene)])
    return NounPhrase(kind, (rng.choice(COLOURS),) if rng.random() < 0.4 else ())


def riddles(scene: Scene) -> list[Riddle]:
    """Every answer that the "question" task is given on this scene, with the one question that it has there."""
    found: list[Riddle] = []
    given: set[str] = set()

    def add(answer: Phrase, wordings: tuple[Phrase, ...]) -> None:
        # "negro" and "negra" are one answer in English: the first thing has it, or the prompt would have two targets.
        if not {answer.en, answer.es} & given:
            found.append(Riddle(answer, wordings[0]))
            given.update((answer.en, answer.es))

    add(_verbatim(str(len(scene.things))), ask_count(NounPhrase(THING)))
    for kind in _kinds(scene):
        add(_verbatim(str(len(_of_kind(scene, kind)))), ask_count(NounPhrase(kind)))
    for question in chain(_colour_questions(scene), _place_questions(scene), _which_questions(scene)):
        add(question.answer, question.wordings)
    add(YES, ask_presence(_noun(scene.things[0])))
    add(NO, ask_presence(NounPhrase(next(kind for kind in KINDS if kind not in _kinds(scene)))))
    if scene.writing:
        add(_verbatim(scene.writing.text), ask_writing())
    return found


# What the model is trained on


def phrase(thing: Thing, with_colour: bool) -> str:
    """What detect and segment call a thing: "red star" or "star"."""
    return _noun(thing, with_colour=with_colour).bare().en


def absent_phrases(scene: Scene, rng: random.Random) -> list[str]:
    """Things to ask for that are not there, all different: missing kinds, and kinds that are there in other colours."""
    return list(dict.fromkeys(_absent(scene, rng).bare().en for _ in range(4)))


def comparison_examples(scene: Scene, rng: random.Random, *, pairs: int) -> list[Example]:
    """Whether one thing lies on one side of another, always one yes beside one no: the hardest kind to learn.

    Args:
        scene: What is asked about.
        rng: Chooses things, sides and languages.
        pairs: How many of each at most; fewer where no two things can be told apart.
    """
    asked = chain.from_iterable(_sample(_comparisons(scene, rng), pairs, rng))
    return [_asked(question, rng) for question in asked]


def description_examples(scene: Scene, rng: random.Random) -> list[Example]:
    """The three descriptions of a scene, in no order, each in one of the languages.

    Args:
        scene: What is described.
        rng: Chooses languages and the order.
    """
    examples = [
        _in_some_language("cap", short_caption(scene), rng),
        _in_some_language("caption", caption(scene), rng),
        _in_some_language("describe", description(scene), rng),
    ]
    rng.shuffle(examples)
    return examples


def text_examples(scene: Scene, rng: random.Random) -> list[Example]:
    """A varied sample, in no order, of what else may be asked about a scene: each task and kind of question once.

    Args:
        scene: What is asked about.
        rng: Chooses languages, questions and wordings; the targets are the scene's own.
    """
    examples = [Example("ocr", scene.writing.text if scene.writing else "")]
    by_kind: dict[QuestionKind, list[Question]] = {}
    for question in questions(scene, rng):
        by_kind.setdefault(question.kind, []).append(question)
    chosen = [rng.choice(candidates) for candidates in by_kind.values()]
    examples += [_asked(question, rng) for question in chosen]
    for riddle in _sample(riddles(scene), 2, rng):
        language = _some_language(rng)
        examples.append(Example(f"question {language} {riddle.answer.text(language)}", riddle.question.text(language)))
    examples += _open_examples(scene, chosen, rng)
    rng.shuffle(examples)
    return examples


def _asked(question: Question, rng: random.Random) -> Example:
    language = _some_language(rng)
    wording = typed(rng.choice(question.wordings).text(language), rng)
    return Example(f"answer {language} {wording}", question.answer.text(language))


def _open_examples(scene: Scene, chosen: Sequence[Question], rng: random.Random) -> Iterator[Example]:
    """Two requests as people type them, without a prefix."""
    question = rng.choice(chosen)
    written = _verbatim(scene.writing.text if scene.writing else "")
    requests = (
        (LONG_REQUESTS, description(scene)),
        (SHORT_REQUESTS, short_caption(scene)),
        (CAPTION_REQUESTS, caption(scene)),
        (READ_REQUESTS, written),
        (question.wordings, question.answer),
        (question.wordings, question.answer),
    )
    for wordings, answer in rng.sample(requests, 2):
        language = _some_language(rng)
        yield Example(typed(rng.choice(wordings).text(language), rng), answer.text(language))


def _some_language(rng: random.Random) -> Language:
    return "es" if rng.random() < 0.35 else "en"


def _in_some_language(prefix: str, target: Phrase, rng: random.Random) -> Example:
    language = _some_language(rng)
    return Example(f"{prefix} {language}", target.text(language))


def _sample(candidates: Sequence[_T], count: int, rng: random.Random) -> list[_T]:
    return rng.sample(candidates, min(count, len(candidates)))


def typed(text: str, rng: random.Random) -> str:
    """The text as somebody in a hurry might type it: British, in lower case, without its marks, or as it is."""
    if rng.random() < 0.25:
        text = re.sub(r"\bcolor of\b|\bcolor (?=are|is|do)", lambda found: found[0].replace("color", "colour"), text)
    if rng.random() < 0.25:
        text = text[:1].lower() + text[1:] if text[0] != "¿" else text[:1] + text[1:2].lower() + text[2:]
    if rng.random() < 0.15:
        text = text.rstrip("?.")
    if rng.random() < 0.2:
        text = text.removeprefix("¿")
    return text


def vocabulary_corpus() -> Iterator[str]:
    """Sentences that hold, between them, every word that a prompt or a target can hold in either language."""
    yield from ("cap", "caption", "describe", "ocr", "answer", "question", "detect", "segment", " ; ", *LANGUAGES)
    requests = (*LONG_REQUESTS, *SHORT_REQUESTS, *CAPTION_REQUESTS, *READ_REQUESTS, *ask_writing())
    fixed = [*requests, YES, NO, NOTHING, NEXT_TO, *PLACES.values(), *RELATIONS.values(), *NUMBERS]
    fixed += [_verbatim(str(number)) for number in range(MOST_THINGS + 1)]
    fixed += [wording for place in PLACES.values() for wording in ask_what_at(place)]
    fixed += [*ask_extreme("biggest"), *ask_extreme("smallest")]
    for number in range(1, MOST_THINGS + 1):
        fixed += [how_many(number), how_many(number).sentence()]
    for word in WORDS:
        fixed += [_verbatim(word), says(word), says(word).sentence()]
    for kind in KINDS:
        fixed += _sayings(kind)
    for text in all_texts(fixed):
        yield text
        if text.startswith("¿"):
            yield text[1:]
            yield text[1:2].lower() + text[2:].rstrip("?")
        else:
            yield text[:1].lower() + text[1:].rstrip("?.")
        if "color" in text:
            yield text.replace("color", "colour")


def _sayings(kind: Kind) -> Iterator[Phrase]:
    """All that the rules make of one kind, in every colour."""
    star = NounPhrase(KINDS[0], (COLOURS[0],))
    for colour in (None, *COLOURS):
        adjectives = (colour,) if colour else ()
        one = NounPhrase(kind, adjectives)
        pair = NounPhrase(kind, adjectives, 2)
        yield from (one.bare(), pair.bare(), one.definite(), pair.definite())
        yield from (NounPhrase(kind, adjectives, number).indefinite() for number in range(1, MOST_THINGS + 1))
        yield from (side_by_side(pair), one_above_the_other(pair))
        yield from (*ask_colour(one), *ask_colour(pair), *ask_count(one), *ask_presence(one), *ask_place(one))
        for place in PLACES.values():
            yield from (placed(one.indefinite(), place), located(one, place).sentence())
        for relation, words in RELATIONS.items():
            yield related(one.indefinite(), words, star.indefinite())
            yield from (*ask_related(relation, one), *ask_whether_related(one, relation, star))
        yield related(star.indefinite(), NEXT_TO, one.indefinite())
        yield accompanied(pair.indefinite(), joined([one.indefinite(), pair.indefinite()]))
        if colour:
            yield from (one.agreeing(colour), pair.agreeing(colour), *ask_what_is_of(colour))
            yield from (*ask_attribute(NounPhrase(kind), colour), *ask_attribute(NounPhrase(kind, (), 2), colour))


# Reading descriptions


def caption_facts(text: str, language: Language) -> Counter[tuple[str, str]]:
    """The things that a description names, for comparison with the truth.

    Args:
        text: A description by the model; what stands in quotation marks is ignored.
        language: The language that it should be in.

    Returns:
        How often each (kind, colour) is named, by its English words. A thing without a colour counts with "" for its
        colour, and a colour without a thing with "" for its kind, so that neither equals any truth.
    """
    unquoted = re.sub(r'"[^"]*"', " ", text.lower())
    facts: Counter[tuple[str, str]] = Counter()
    for found in _facts_pattern(language).finditer(unquoted):
        kind, colour = found["kind"] or "", found["colour"] or found["stray"] or ""
        facts[_kind_names(language).get(kind, ""), _colour_names(language).get(colour, "")] += _number_values(
            language
        ).get(found["number"] or "", 1)
    return facts


def scene_facts(scene: Scene) -> Counter[tuple[str, str]]:
    """The same of the scene itself."""
    return Counter((thing.kind.en, thing.colour.en) for thing in scene.things)


def _facts_pattern(language: Language) -> re.Pattern[str]:
    number = _any_of(_number_values(language))
    kind, colour = _any_of(_kind_names(language)), _any_of(_colour_names(language))
    noun = (
        rf"(?:(?P<colour>{colour})\s+)?(?P<kind>{kind})"
        if language == "en"
        else (rf"(?P<kind>{kind})(?:\s+(?P<colour>{colour}))?")
    )
    return re.compile(rf"\b(?:(?:(?P<number>{number})\s+)?{noun}|(?P<stray>{colour}))\b")


def _any_of(words: Sequence[str] | dict[str, str] | dict[str, int]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def _kind_names(language: Language) -> dict[str, str]:
    forms = ((kind.en, kind.en_plural) if language == "en" else (kind.es, kind.es_plural) for kind in KINDS)
    return {form: kind.en for kind, pair in zip(KINDS, forms, strict=True) for form in pair}


def _colour_names(language: Language) -> dict[str, str]:
    if language == "en":
        return {colour.en: colour.en for colour in COLOURS}
    return {
        form: colour.en
        for colour in COLOURS
        for form in (colour.es_m, colour.es_f, colour.es_m_plural, colour.es_f_plural)
    }


def _number_values(language: Language) -> dict[str, int]:
    ones = ("a", "an") if language == "en" else ("un", "una")
    values = dict.fromkeys(ones, 1) | {str(number): number for number in range(1, 11)}
    return values | {NUMBERS[number].text(language): number for number in range(1, 11)}
