"""English and Spanish side by side: every rule makes the phrase of both languages from the same meaning.

Knows articles, numbers, plurals, gender, agreement, contractions and the wordings of sentences. Knows nothing of
scenes, pictures or models: what is true is its caller's business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from training.lexicon import Colour, Kind

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = ("en", "es")

Relation = Literal["left", "right", "above", "below"]
Place = tuple[Literal[0, 1, 2], Literal[0, 1, 2]]
"""Row and column of a 3x3 grid over the picture, (0, 0) at the top left."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One meaning in both languages."""

    en: str
    es: str

    def text(self, language: Language) -> str:
        """The phrase in one language."""
        return self.en if language == "en" else self.es

    def sentence(self) -> "Phrase":
        """The phrase with a capital at its start and a full stop at its end."""
        return Phrase(capitalise(self.en) + ".", capitalise(self.es) + ".")


NUMBERS: tuple[Phrase, ...] = (
    Phrase("zero", "cero"),
    Phrase("one", "uno"),
    Phrase("two", "dos"),
    Phrase("three", "tres"),
    Phrase("four", "cuatro"),
    Phrase("five", "cinco"),
    Phrase("six", "seis"),
    Phrase("seven", "siete"),
    Phrase("eight", "ocho"),
    Phrase("nine", "nueve"),
    Phrase("ten", "diez"),
)

THING = Kind("thing", "things", "cosa", "cosas", "f")
"""What stands for any kind in "how many things are there?"."""

YES = Phrase("yes", "sí")
NO = Phrase("no", "no")
NOTHING = Phrase("nothing", "nada")

RELATIONS: dict[Relation, Phrase] = {
    "left": Phrase("to the left of", "a la izquierda de"),
    "right": Phrase("to the right of", "a la derecha de"),
    "above": Phrase("above", "encima de"),
    "below": Phrase("below", "debajo de"),
}
NEXT_TO = Phrase("next to", "al lado de")

PLACES: dict[Place, Phrase] = {
    (0, 0): Phrase("at the top left", "arriba a la izquierda"),
    (0, 1): Phrase("at the top", "arriba"),
    (0, 2): Phrase("at the top right", "arriba a la derecha"),
    (1, 0): Phrase("on the left", "a la izquierda"),
    (1, 1): Phrase("in the middle", "en el centro"),
    (1, 2): Phrase("on the right", "a la derecha"),
    (2, 0): Phrase("at the bottom left", "abajo a la izquierda"),
    (2, 1): Phrase("at the bottom", "abajo"),
    (2, 2): Phrase("at the bottom right", "abajo a la derecha"),
}


def capitalise(text: str) -> str:
    """The text with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def with_a(words: str) -> str:
    """English words behind their indefinite article.

    >>> with_a("orange star")
    'an orange star'
    """
    return ("an " if words[0].lower() in "aeiou" else "a ") + words


def of(words: str) -> str:
    """Spanish words behind "de", contracted where Spanish contracts.

    >>> of("el corazón azul")
    'del corazón azul'
    """
    return "del " + words[3:] if words.startswith("el ") else "de " + words


def to(words: str) -> str:
    """Spanish words behind "a", contracted where Spanish contracts."""
    return "al " + words[3:] if words.startswith("el ") else "a " + words


def _agreeing(adjective: Colour, kind: Kind, *, plural: bool) -> str:
    if kind.gender == "m":
        return adjective.es_m_plural if plural else adjective.es_m
    return adjective.es_f_plural if plural else adjective.es_f


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """Some things of one kind, perhaps described.

    Attributes:
        kind: The noun.
        adjectives: In English order ("big", "red"); Spanish puts them behind the noun the other way round.
        count: How many, at least 1.
    """

    kind: Kind
    adjectives: tuple[Colour, ...] = ()
    count: int = 1

    @property
    def plural(self) -> bool:
        """Whether it speaks of more than one thing."""
        return self.count > 1

    def bare(self) -> Phrase:
        """Without an article: "red star", "estrella roja"; "blue rings", "anillos azules"."""
        english = [adjective.en for adjective in self.adjectives]
        english.append(self.kind.en_plural if self.plural else self.kind.en)
        spanish = [self.kind.es_plural if self.plural else self.kind.es]
        spanish += [_agreeing(adjective, self.kind, plural=self.plural) for adjective in reversed(self.adjectives)]
        return Phrase(" ".join(english), " ".join(spanish))

    def indefinite(self) -> Phrase:
        """As something new: "a red star", "una estrella roja"; "two blue rings", "dos anillos azules"."""
        bare = self.bare()
        if self.plural:
            number = NUMBERS[self.count]
            return Phrase(f"{number.en} {bare.en}", f"{number.es} {bare.es}")
        return Phrase(with_a(bare.en), ("un " if self.kind.gender == "m" else "una ") + bare.es)

    def definite(self) -> Phrase:
        """As something known: "the red star", "la estrella roja"; "the blue rings", "los anillos azules"."""
        bare = self.bare()
        articles = {("m", False): "el", ("f", False): "la", ("m", True): "los", ("f", True): "las"}
        return Phrase(f"the {bare.en}", f"{articles[self.kind.gender, self.plural]} {bare.es}")

    def many(self) -> Phrase:
        """The plural without a number: "blue rings", "anillos azules"."""
        return NounPhrase(self.kind, self.adjectives, 2).bare()

    def agreeing(self, adjective: Colour) -> Phrase:
        """An adjective said of it: "red", "roja"."""
        return Phrase(adjective.en, _agreeing(adjective, self.kind, plural=self.plural))


def joined(phrases: Sequence[Phrase]) -> Phrase:
    """A list: "a, b and c", "a, b y c" ("e" before the sound i)."""
    if len(phrases) == 1:
        return phrases[0]
    last = phrases[-1]
    sound = last.es.lower()
    and_es = "e" if sound.startswith(("i", "í", "hi", "hí")) and not sound.startswith(("hie", "hia")) else "y"
    return Phrase(
        ", ".join(phrase.en for phrase in phrases[:-1]) + f" and {last.en}",
        ", ".join(phrase.es for phrase in phrases[:-1]) + f" {and_es} {last.es}",
    )


def related(first: Phrase, relation: Phrase, second: Phrase) -> Phrase:
    """One thing seen from another: "a red star to the left of the ring", "… a la izquierda del anillo"."""
    spanish = relation.es.removesuffix(" de")
    joint = of(second.es) if spanish != relation.es else second.es
    return Phrase(f"{first.en} {relation.en} {second.en}", f"{first.es} {spanish} {joint}")


def accompanied(first: Phrase, second: Phrase) -> Phrase:
    """Things together where no relation holds: "two stars with a ring"."""
    return Phrase(f"{first.en} with {second.en}", f"{first.es} con {second.es}")


def side_by_side(pair: NounPhrase) -> Phrase:
    """Two equal things beside each other."""
    return _pairwise(pair, Phrase("side by side", "al lado de"))


def one_above_the_other(pair: NounPhrase) -> Phrase:
    """Two equal things one above the other."""
    return _pairwise(pair, Phrase("one above the other", "encima de"))


def _pairwise(pair: NounPhrase, how: Phrase) -> Phrase:
    things = pair.indefinite()
    one, other = ("uno", "el otro") if pair.kind.gender == "m" else ("una", "la otra")
    return Phrase(f"{things.en} {how.en}", f"{things.es} {one} {how.es.removesuffix(' de')} {of(other)}")


def placed(things: Phrase, place: Phrase) -> Phrase:
    """Things and where they are, without a verb: "a red star at the top left"."""
    return Phrase(f"{things.en} {place.en}", f"{things.es} {place.es}")


def located(first: NounPhrase, place: Phrase) -> Phrase:
    """A clause that says where things are: "a red star is at the top left"."""
    things = first.indefinite()
    is_en, is_es = ("are", "están") if first.plural else ("is", "está")
    return Phrase(f"{things.en} {is_en} {place.en}", f"{things.es} {is_es} {place.es}")


def there_are(things: NounPhrase) -> Phrase:
    """A clause that says what exists: "there are three things", "hay tres cosas"."""
    words = things.indefinite()
    return Phrase(f"there {'are' if things.plural else 'is'} {words.en}", f"hay {words.es}")


def how_many(count: int) -> Phrase:
    """A clause that counts all things; one is "one", not "a"."""
    return Phrase("there is one thing", "hay una cosa") if count == 1 else there_are(NounPhrase(THING, count=count))


def says(writing: str) -> Phrase:
    """A clause that quotes what is written."""
    return Phrase(f'the text says "{writing}"', f'el texto dice "{writing}"')


def described(things: Sequence[tuple[NounPhrase, Phrase]], writing: str | None) -> Phrase:
    """Two to four sentences that name things with their places.

    Args:
        things: Each thing by itself, with the place where it is.
        writing: What is written, or None.
    """
    sentences = [how_many(len(things)).sentence()]
    for start in range(0, len(things), 3):
        part = things[start : start + 3]
        clauses = [located(*part[0])]
        clauses += [placed(thing.indefinite(), place) for thing, place in part[1:]]
        sentences.append(joined(clauses).sentence())
    if writing:
        sentences.append(says(writing).sentence())
    return Phrase(" ".join(part.en for part in sentences), " ".join(part.es for part in sentences))


# Questions. Each rule gives several wordings, the same ones in both languages; the first is the canonical one, which
# the model itself asks.


def ask_colour(things: NounPhrase) -> tuple[Phrase, ...]:
    """What colour some things are."""
    name = things.definite()
    is_en, is_es, has_en, has_es = ("are", "son", "do", "tienen") if things.plural else ("is", "es", "does", "tiene")
    return (
        Phrase(f"What color {is_en} {name.en}?", f"¿De qué color {is_es} {name.es}?"),
        Phrase(f"What is the color of {name.en}?", f"¿Cuál es el color {of(name.es)}?"),
        Phrase(f"Which color {has_en} {name.en} have?", f"¿Qué color {has_es} {name.es}?"),
    )


def ask_count(things: NounPhrase) -> tuple[Phrase, ...]:
    """How many there are of some things."""
    name = things.many()
    how_many = "Cuántos" if things.kind.gender == "m" else "Cuántas"
    return (
        Phrase(f"How many {name.en} are there?", f"¿{how_many} {name.es} hay?"),
        Phrase(f"How many {name.en} do you see?", f"¿{how_many} {name.es} ves?"),
        Phrase(f"How many {name.en} are in the picture?", f"¿{how_many} {name.es} hay en la imagen?"),
        Phrase(f"Count the {name.en}.", f"Cuenta {NounPhrase(things.kind, things.adjectives, 2).definite().es}."),
    )


def ask_presence(thing: NounPhrase) -> tuple[Phrase, ...]:
    """Whether there is such a thing."""
    name = thing.indefinite()
    return (
        Phrase(f"Is there {name.en}?", f"¿Hay {name.es}?"),
        Phrase(f"Is there {name.en} in the picture?", f"¿Hay {name.es} en la imagen?"),
        Phrase(f"Do you see {name.en}?", f"¿Ves {name.es}?"),
        Phrase(f"Can you see {name.en}?", f"¿Puedes ver {name.es}?"),
        Phrase(f"Are there any {thing.many().en}?", f"¿Hay {thing.many().es}?"),
    )


def ask_attribute(thing: NounPhrase, adjective: Colour) -> tuple[Phrase, ...]:
    """Whether a thing is of a colour."""
    name, colour = thing.definite(), thing.agreeing(adjective)
    is_en, is_es = ("Are", "Son") if thing.plural else ("Is", "Es")
    return (Phrase(f"{is_en} {name.en} {colour.en}?", f"¿{is_es} {colour.es} {name.es}?"),)


def ask_place(thing: NounPhrase) -> tuple[Phrase, ...]:
    """Where a thing is."""
    name = thing.definite()
    is_en, is_es = ("are", "están") if thing.plural else ("is", "está")
    return (
        Phrase(f"Where {is_en} {name.en}?", f"¿Dónde {is_es} {name.es}?"),
        Phrase(f"Where in the picture {is_en} {name.en}?", f"¿En qué parte de la imagen {is_es} {name.es}?"),
    )


def ask_what_at(place: Phrase) -> tuple[Phrase, ...]:
    """What is at a place."""
    return (
        Phrase(f"What is {place.en}?", f"¿Qué hay {place.es}?"),
        Phrase(f"What do you see {place.en}?", f"¿Qué ves {place.es}?"),
    )


def ask_what_is_of(adjective: Colour) -> tuple[Phrase, ...]:
    """Which thing is of a colour."""
    colour = NounPhrase(THING).agreeing(adjective)
    return (
        Phrase(f"Which thing is {colour.en}?", f"¿Qué cosa es {colour.es}?"),
        Phrase(f"What is {colour.en}?", f"¿Qué es {adjective.es_m}?"),
    )


def ask_extreme(extreme: Literal["biggest", "smallest"]) -> tuple[Phrase, ...]:
    """Which thing is the biggest or the smallest."""
    spanish = "grande" if extreme == "biggest" else "pequeña"
    return (
        Phrase(f"Which thing is the {extreme}?", f"¿Qué cosa es la más {spanish}?"),
        Phrase(f"What is the {extreme} thing?", f"¿Cuál es la cosa más {spanish}?"),
        Phrase(f"What is the {extreme} thing in the picture?", f"¿Cuál es la cosa más {spanish} de la imagen?"),
    )


def ask_related(relation: Relation, other: NounPhrase) -> tuple[Phrase, ...]:
    """What is on one side of a thing."""
    name, words = other.definite(), RELATIONS[relation]
    spanish = f"{words.es.removesuffix(' de')} {of(name.es)}"
    return (
        Phrase(f"What is {words.en} {name.en}?", f"¿Qué hay {spanish}?"),
        Phrase(f"What do you see {words.en} {name.en}?", f"¿Qué ves {spanish}?"),
        Phrase(f"Which thing is {words.en} {name.en}?", f"¿Qué cosa está {spanish}?"),
    )


def ask_whether_related(first: NounPhrase, relation: Relation, second: NounPhrase) -> tuple[Phrase, ...]:
    """Whether one thing is on one side of another."""
    one, two, words = first.definite(), second.definite(), RELATIONS[relation]
    is_en, is_es = ("Are", "Están") if first.plural else ("Is", "Está")
    spanish = f"{words.es.removesuffix(' de')} {of(two.es)}"
    return (Phrase(f"{is_en} {one.en} {words.en} {two.en}?", f"¿{is_es} {one.es} {spanish}?"),)


def ask_writing() -> tuple[Phrase, ...]:
    """What is written."""
    return (
        Phrase("What does the text say?", "¿Qué dice el texto?"),
        Phrase("What does it say?", "¿Qué dice?"),
        Phrase("What is written in the picture?", "¿Qué está escrito en la imagen?"),
        Phrase("What text is in the picture?", "¿Qué texto hay en la imagen?"),
        Phrase("Which words are written here?", "¿Qué palabras están escritas aquí?"),
    )


# What people type without a prefix, by what they want to have.

LONG_REQUESTS: tuple[Phrase, ...] = (
    Phrase("Describe the image in great detail", "Describe la imagen con todo detalle"),
    Phrase("Describe the image in detail", "Describe la imagen en detalle"),
    Phrase("Describe the picture in detail.", "Describe la imagen con detalle."),
    Phrase("Describe this image", "Describe esta imagen"),
    Phrase("Describe the picture", "Describe la imagen"),
    Phrase("Give a detailed description of the image.", "Da una descripción detallada de la imagen."),
)
SHORT_REQUESTS: tuple[Phrase, ...] = (
    Phrase("What is in the picture?", "¿Qué hay en la imagen?"),
    Phrase("What is in the image?", "¿Qué aparece en la imagen?"),
    Phrase("What do you see?", "¿Qué ves?"),
    Phrase("What is shown here?", "¿Qué se muestra aquí?"),
    Phrase("What is this?", "¿Qué es esto?"),
    Phrase("What can you see in this picture?", "¿Qué puedes ver en esta imagen?"),
    Phrase("List the things in the picture.", "Enumera las cosas de la imagen."),
)
CAPTION_REQUESTS: tuple[Phrase, ...] = (
    Phrase("Caption the image", "Titula la imagen"),
    Phrase("Write a caption", "Escribe un título"),
    Phrase("Write a caption for this picture.", "Escribe un título para esta imagen."),
    Phrase("Describe the image briefly.", "Describe la imagen brevemente."),
    Phrase("Describe the image in one sentence.", "Describe la imagen en una frase."),
)
READ_REQUESTS: tuple[Phrase, ...] = (
    Phrase("Read text", "Lee texto"),
    Phrase("Read the text", "Lee el texto"),
    Phrase("Read the text in the image.", "Lee el texto de la imagen."),
    Phrase("What text do you see?", "¿Qué texto ves?"),
)


def all_texts(phrases: Iterable[Phrase]) -> list[str]:
    """Every phrase in every language."""
    return [phrase.text(language) for phrase in phrases for language in LANGUAGES]
