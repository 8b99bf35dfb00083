"""Pairs of English and Spanish sentences without end, for training and testing the translators.

Knows the same rules as the grammar of the drawn world, and speaks by them of everyday things too. Knows nothing of
scenes or of models. A set of combinations (a thing in a colour, two things in a relation) is never drawn for training:
sentences with one of them show whether a translator has learnt the rules or the sentences.
"""

import random
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from training.everyday import (
    ADJECTIVES,
    DOINGS,
    ENGLISH_SYNONYMS,
    MORE_COLOURS,
    MORE_RELATIONS,
    NOUNS,
    PEOPLE,
    POSTURES,
    SENTENCES,
    SIGNS,
    SPANISH_COLOUR_SYNONYMS,
    SPANISH_SYNONYMS,
)
from training.lexicon import COLOURS, KINDS, Colour, Kind
from training.phrases import (
    CAPTION_REQUESTS,
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
    Relation,
    accompanied,
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
    capitalise,
    described,
    how_many,
    joined,
    located,
    of,
    one_above_the_other,
    placed,
    related,
    says,
    side_by_side,
    there_are,
    to,
)

Part = Literal["training", "held-out"]

_RELATION_NAMES: tuple[Relation, ...] = tuple(RELATIONS)
_QUESTION_WORDS = ("qué", "cuál", "cuánt", "dónde", "de qué", "en qué", "quién", "cómo", "cuent")


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence as somebody may write it, and its one translation."""

    source: str
    target: str


def pairs(rng: random.Random, *, source: Language, part: Part) -> Iterator[Pair]:
    """Sentence pairs without end.

    Args:
        rng: Where they come from; the same state gives the same pairs.
        source: The language of the sources; it has more wordings than that of the targets.
        part: "training" holds no held-out combination, every pair of "held-out" at least one.
    """
    writer = _Writer(rng, source=source, part=part)
    while True:
        pair = writer.pair()
        if pair is not None:
            yield pair


def is_held_out(kind: Kind, colour: Colour) -> bool:
    """Whether a thing of the world in this colour is kept from the translators' training."""
    known = _of_world(kind)
    # By the English word: "violeta" and "púrpura" are other words for "morado", and each says "purple".
    number = next((number for number, own in enumerate(COLOURS) if own.en == colour.en), None)
    return known is not None and number is not None and (5 * known + number) % 11 == 0


def is_relation_held_out(first: Kind, relation: Phrase, second: Kind) -> bool:
    """Whether this relation between two kinds of the world is kept from the translators' training."""
    relations = tuple(RELATIONS.values())
    one, two = _of_world(first), _of_world(second)
    if one is None or two is None or relation not in relations:
        return False
    return (7 * one + 3 * relations.index(relation) + two) % 13 == 0


def _of_world(kind: Kind) -> int | None:
    """Which kind of the world this is, synonyms included: a red ship would give the red boat away."""
    return next((index for index, own in enumerate(KINDS) if own.en == kind.en or own.es == kind.es), None)


class _HeldOut(Exception):
    """A sentence drawn for training came upon a held-out combination."""


class _Writer:
    """Draws sentences; remembers whether the one at hand holds a held-out combination."""

    def __init__(self, rng: random.Random, *, source: Language, part: Part) -> None:
        self._rng = rng
        self._source = source
        self._part = part
        self._unseen = False
        synonyms = ENGLISH_SYNONYMS if source == "en" else SPANISH_SYNONYMS
        self._everyday_kinds = (*KINDS, *NOUNS, *PEOPLE, *synonyms)
        self._everyday_colours = (*COLOURS, *MORE_COLOURS, *(SPANISH_COLOUR_SYNONYMS if source == "es" else ()))
        self._rules = (
            (self._label, 10),
            (self._caption, 16),
            (self._description, 18),
            (self._question, 26),
            (self._answer, 6),
            (self._statement, 14),
            (self._action, 7),
            (self._writing_alone, 9),
            (self._fixed, 6),
        )

    def pair(self) -> Pair | None:
        """One pair, None where the draw belongs to the other part."""
        self._unseen = False
        rules, weights = zip(*self._rules, strict=True)
        try:
            made, is_question = self._rng.choices(rules, weights)[0]()
        except _HeldOut:
            return None
        if self._part == "held-out" and not self._unseen:
            return None
        return self._typed_question(made) if is_question else self._typed(made)

    # What somebody may type

    def _typed(self, made: Phrase) -> Pair:
        form = self._rng.random()
        if form < 0.2:
            made = made if made.en.endswith((".", "!", "?")) else made.sentence()
        elif form < 0.3:
            made = Phrase(capitalise(made.en), capitalise(made.es))
        elif form < 0.33 and len(made.en) < 40:
            made = Phrase(made.en.upper(), made.es.upper())
        return self._directed(made, hurried=self._rng.random() < 0.1)

    def _typed_question(self, made: Phrase) -> Pair:
        pair = self._directed(made, hurried=self._rng.random() < 0.15)
        text = pair.source
        if self._source == "es":
            drops_first = self._rng.random() < 0.3
            # Without both marks "hay una estrella" would be a statement; a question word tells in any case.
            if drops_first and self._rng.random() < 0.4 and made.es.lower().lstrip("¿").startswith(_QUESTION_WORDS):
                text = text.rstrip("?")
            if drops_first:
                text = text.removeprefix("¿")
        elif self._rng.random() < 0.15:
            text = text.rstrip("?")
        if self._rng.random() < 0.25:
            start = text.startswith("¿")
            text = text[:start] + text[start : start + 1].lower() + text[start + 1 :]
        if self._source == "en" and self._rng.random() < 0.25:
            text = text.replace("color", "colour")
        return Pair(text, pair.target)

    def _directed(self, made: Phrase, *, hurried: bool) -> Pair:
        if self._source == "en":
            return Pair(made.en, made.es)
        return Pair(_without_accents(made.es) if hurried else made.es, made.en)

    # Words

    def _thing(self, *, most: int = 1, colour_share: float = 0.75) -> NounPhrase:
        """Some things, of the world or everyday ones, perhaps with a colour and another adjective."""
        count = self._rng.randint(1, most)
        of_world = self._rng.random() < 0.6
        kind = self._rng.choice(KINDS if of_world else self._everyday_kinds)
        adjectives: tuple[Colour, ...] = ()
        if self._rng.random() < colour_share:
            adjectives = (self._rng.choice(COLOURS if of_world else self._everyday_colours),)
        if self._rng.random() < 0.12:
            adjectives = (self._rng.choice(ADJECTIVES), *adjectives)
        for adjective in adjectives:
            self._meet(is_held_out(kind, adjective))
        return NounPhrase(kind, adjectives, count)

    def _meet(self, held_out: bool) -> None:
        if held_out and self._part == "training":
            raise _HeldOut
        self._unseen = self._unseen or held_out

    def _place(self) -> Phrase:
        return self._rng.choice(tuple(PLACES.values()))

    def _relation(self, first: Kind, second: Kind) -> Phrase:
        everyday = self._rng.random() < 0.25
        relation = self._rng.choice((NEXT_TO, *MORE_RELATIONS) if everyday else tuple(RELATIONS.values()))
        self._meet(is_relation_held_out(first, relation, second))
        return relation

    def _written(self) -> str:
        """Something written: known signs, or any letters at all, which only copying gets right."""
        kind = self._rng.random()
        if kind < 0.35:
            return " ".join(sign.en for sign in self._rng.sample(SIGNS, self._rng.randint(1, 2)))
        if kind < 0.75:
            return " ".join(self._letters() for _ in range(self._rng.randint(1, 2)))
        return self._name() if kind < 0.9 else str(self._rng.randint(0, 10 ** self._rng.randint(1, 4)))

    def _letters(self) -> str:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" if self._rng.random() < 0.3 else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        if self._rng.random() < 0.5:
            return self._name().upper()
        return "".join(self._rng.choices(alphabet, k=self._rng.randint(2, 7)))

    def _name(self) -> str:
        syllables = ["".join(map(self._rng.choice, ("bcdfghklmnprstvz", "aeiou", "  lnrs"))) for _ in range(3)]
        name = "".join(syllables[: self._rng.randint(1, 3)]).replace(" ", "").capitalize()
        # Letters of no word here teach the pieces that stand for single bytes.
        return name + (self._rng.choice("äöüçêßøñéèàśŽжλ中日😀€") if self._rng.random() < 0.08 else "")

    # Sentences

    def _label(self) -> tuple[Phrase, bool]:
        things = [self._thing() for _ in range(self._rng.choice((1, 1, 1, 2, 3)))]
        # "fish" alone is one or several: only Spanish tells.
        plural = len(things) == 1 and self._rng.random() < 0.25 and things[0].kind.en != things[0].kind.en_plural
        labels = [thing.many() if plural else thing.bare() for thing in things]
        mark = self._rng.choice((" ; ", "; ", ", "))
        return Phrase(mark.join(label.en for label in labels), mark.join(label.es for label in labels)), False

    def _things(self, most: int) -> Phrase:
        return joined([self._thing(most=self._rng.choice((1, 1, 3, 5))).indefinite() for _ in range(self._count(most))])

    def _count(self, most: int) -> int:
        return self._rng.randint(1, most)

    def _caption(self) -> tuple[Phrase, bool]:
        # Nothing is drawn that the sentence does not use: a held-out combination counts as met once drawn.
        if self._rng.random() < 0.15:
            return self._things(5), False
        first = self._thing(most=self._rng.choice((1, 1, 3, 5)), colour_share=0.85)
        pair = NounPhrase(first.kind, first.adjectives, 2)
        shape = self._rng.random()
        if shape < 0.1:
            return placed(first.indefinite(), self._place()), False
        if shape < 0.15:
            return placed(first.indefinite(), Phrase("in the picture", "en la imagen")), False
        if shape < 0.3:
            return self._rng.choice((side_by_side, one_above_the_other))(pair), False
        second = self._thing(most=self._rng.choice((1, 1, 3, 5)), colour_share=0.85)
        if shape < 0.45:
            return related(first.indefinite(), self._relation(first.kind, second.kind), second.definite()), False
        rest = [self._thing(most=self._rng.choice((1, 1, 3))).indefinite() for _ in range(self._count(4) - 1)]
        others = joined([second.indefinite(), *rest])
        if shape < 0.65:
            return accompanied(first.indefinite(), others), False
        return related(first.indefinite(), self._relation(first.kind, second.kind), others), False

    def _description(self) -> tuple[Phrase, bool]:
        shape = self._rng.random()
        if shape < 0.15:
            things = [(self._thing(colour_share=0.9), self._place()) for _ in range(self._count(5))]
            return described(things, self._written() if self._rng.random() < 0.4 else None), False
        if shape < 0.25:
            return says(self._written()).sentence(), False
        if shape < 0.3:
            return how_many(self._count(5)).sentence(), False
        # Whoever translates a description does so sentence by sentence: these are its long ones.
        clauses = [located(self._thing(colour_share=0.9), self._place())]
        for _ in range(self._count(3) - 1):
            clauses.append(placed(self._thing(colour_share=0.9).indefinite(), self._place()))
        return joined(clauses).sentence(), False

    def _question(self) -> tuple[Phrase, bool]:
        return self._rng.choice(self._wordings(self._rng.randrange(11))), True

    def _wordings(self, rule: int) -> tuple[Phrase, ...]:
        if rule == 0:
            return ask_what_at(self._place())
        if rule == 1:
            return ask_what_is_of(self._rng.choice(self._everyday_colours))
        if rule == 2:
            return (*ask_extreme("biggest"), *ask_extreme("smallest"), *ask_writing(), *ask_count(NounPhrase(THING)))
        one = self._thing(colour_share=0.5)
        some = NounPhrase(one.kind, one.adjectives, self._rng.choice((1, 1, 2)))
        if rule == 3:
            return ask_colour(some)
        if rule == 4:
            return ask_place(some)
        if rule == 5:
            return ask_count(one)
        if rule == 6:
            return ask_related(self._rng.choice(_RELATION_NAMES), one)
        if rule == 7:
            colour = self._rng.choice(self._everyday_colours)
            self._meet(is_held_out(one.kind, colour))
            return ask_attribute(NounPhrase(one.kind, (), some.count), colour)
        if rule in (8, 9):
            return ask_presence(one)
        other, relation = self._thing(colour_share=0.5), self._rng.choice(_RELATION_NAMES)
        self._meet(is_relation_held_out(one.kind, RELATIONS[relation], other.kind))
        return ask_whether_related(one, relation, other)

    def _answer(self) -> tuple[Phrase, bool]:
        colour = self._rng.choice(self._everyday_colours)
        kind = self._rng.choice(KINDS)
        number = self._rng.randint(0, 10)
        answers = [YES, NO, NOTHING, self._place(), NUMBERS[number], Phrase(str(number), str(number))]
        # Spanish agrees with a thing that a lone English colour does not name: there it is masculine.
        agreeing = NounPhrase(kind, (), self._rng.choice((1, 2))).agreeing(colour)
        answers += [agreeing if self._source == "es" else Phrase(colour.en, colour.es_m)] * 3
        return self._rng.choice(answers), False

    def _statement(self) -> tuple[Phrase, bool]:
        rule = self._rng.randrange(12)
        if rule == 0:
            shown = self._things(3)
            return Phrase(f"the picture shows {shown.en}", f"la imagen muestra {shown.es}"), False
        if rule == 1:
            shown = self._things(3)
            return Phrase(f"I see {shown.en}", f"veo {shown.es}"), False
        if rule == 2:
            return there_are(self._thing(most=5)), False
        one = self._thing()
        known, new, feminine = one.definite(), one.indefinite(), one.kind.gender == "f"
        if rule == 3:
            return Phrase(f"this is {new.en}", f"{'esta' if feminine else 'este'} es {new.es}"), False
        if rule == 4:
            return Phrase(f"it is {new.en}", f"es {new.es}"), False
        if rule == 5:
            place = self._place()
            return Phrase(f"{known.en} is {place.en}", f"{known.es} está {place.es}"), False
        if rule == 6:
            size = self._rng.choice((Phrase("biggest", "grande"), Phrase("smallest", "pequeña")))
            return Phrase(f"the {size.en} thing is {known.en}", f"la cosa más {size.es} es {known.es}"), False
        if rule == 7:
            return Phrase(f"there are no {one.many().en}", f"no hay {one.many().es}"), False
        if rule == 8:
            no = "ninguna" if feminine else "ningún"
            return Phrase(f"there is no {one.bare().en}", f"no hay {no} {one.bare().es}"), False
        if rule == 9:
            colour = self._rng.choice(self._everyday_colours)
            self._meet(is_held_out(one.kind, colour))
            said = one.agreeing(colour)
            return Phrase(f"{known.en} is {said.en}", f"{known.es} es {said.es}"), False
        other = self._thing()
        if rule == 10:
            towards = other.definite()
            return Phrase(f"{known.en} points to {towards.en}", f"{known.es} apunta {to(towards.es)}"), False
        is_there = Phrase(f"{known.en} is", f"{known.es} está")
        return related(is_there, self._relation(one.kind, other.kind), other.definite()), False

    def _action(self) -> tuple[Phrase, bool]:
        kind = self._rng.choice(PEOPLE if self._rng.random() < 0.6 else self._everyday_kinds)
        somebody = NounPhrase(kind, count=self._rng.choice((1, 1, 1, 2, 3)))
        shape, who = self._rng.random(), somebody.indefinite()
        if shape < 0.2:
            thing = self._thing()
            owner, owned = NounPhrase(kind).definite(), thing.definite()
            return Phrase(f"{owner.en}'s {thing.bare().en}", f"{owned.es} {of(owner.es)}"), False
        if shape < 0.5:
            posture = somebody.agreeing(self._rng.choice(POSTURES))
            there = Phrase(f"{who.en} {posture.en}", f"{who.es} {posture.es}")
            relation = self._rng.choice((*MORE_RELATIONS, MORE_RELATIONS[4]))
            return related(there, relation, self._thing(colour_share=0.4).indefinite()), False
        doing, thing = self._rng.choice(DOINGS), self._thing(most=2, colour_share=0.5)
        made = Phrase(f"{who.en} {doing.en} {thing.indefinite().en}", f"{who.es} {doing.es} {thing.indefinite().es}")
        if shape < 0.8:
            return made, False
        return related(made, self._rng.choice(MORE_RELATIONS), self._thing().indefinite()), False

    def _writing_alone(self) -> tuple[Phrase, bool]:
        kind = self._rng.random()
        if kind < 0.45:
            signs = self._rng.sample(SIGNS, self._rng.randint(1, 2))
            if self._rng.random() < 0.2:
                number = str(self._rng.randint(1, 999))
                signs.insert(self._rng.randint(0, len(signs)), Phrase(number, number))
            return Phrase(" ".join(sign.en for sign in signs), " ".join(sign.es for sign in signs)), False
        if kind < 0.6:
            name = self._name()
            return Phrase(f"my name is {name}", f"me llamo {name}"), False
        copied = " ".join(self._letters() if kind < 0.8 else self._name() for _ in range(self._rng.choice((1, 1, 2))))
        return Phrase(copied, copied), False

    def _fixed(self) -> tuple[Phrase, bool]:
        requests = (*LONG_REQUESTS, *SHORT_REQUESTS, *CAPTION_REQUESTS, *READ_REQUESTS)
        if self._rng.random() < 0.4:
            return self._rng.choice(requests), True
        sentence = self._rng.choice(SENTENCES)
        return sentence, sentence.en.endswith("?")


def _without_accents(text: str) -> str:
    """Spanish as typed on a keyboard without its marks; ñ stays a letter of its own."""
    kept = text.replace("ñ", "\0").replace("Ñ", "\1")
    plain = "".join(mark for mark in unicodedata.normalize("NFD", kept) if not unicodedata.combining(mark))
    return unicodedata.normalize("NFC", plain).replace("\0", "ñ").replace("\1", "Ñ")
