"""The words of the drawn world: kinds of things and colours, in English and Spanish.

Knows words, their plurals and their grammatical gender. Knows nothing of drawing or of sentences.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that the world draws.

    Attributes:
        en, en_plural: English noun.
        es, es_plural: Spanish noun.
        gender: Grammatical gender of the Spanish noun.
    """

    en: str
    en_plural: str
    es: str
    es_plural: str
    gender: Literal["m", "f"]


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour with the four forms that Spanish agreement needs (invariable ones repeat themselves)."""

    en: str
    es_m: str
    es_f: str
    es_m_plural: str
    es_f_plural: str


KINDS: tuple[Kind, ...] = (
    Kind("star", "stars", "estrella", "estrellas", "f"),
    Kind("heart", "hearts", "corazón", "corazones", "m"),
    Kind("moon", "moons", "luna", "lunas", "f"),
    Kind("ring", "rings", "anillo", "anillos", "m"),
    Kind("arrow", "arrows", "flecha", "flechas", "f"),
    Kind("cross", "crosses", "cruz", "cruces", "f"),
    Kind("house", "houses", "casa", "casas", "f"),
    Kind("tree", "trees", "árbol", "árboles", "m"),
    Kind("fish", "fish", "pez", "peces", "m"),
    Kind("cup", "cups", "taza", "tazas", "f"),
    Kind("key", "keys", "llave", "llaves", "f"),
    Kind("boat", "boats", "barco", "barcos", "m"),
    Kind("mushroom", "mushrooms", "seta", "setas", "f"),
)

COLOURS: tuple[Colour, ...] = (
    Colour("red", "rojo", "roja", "rojos", "rojas"),
    Colour("orange", "naranja", "naranja", "naranjas", "naranjas"),
    Colour("yellow", "amarillo", "amarilla", "amarillos", "amarillas"),
    Colour("green", "verde", "verde", "verdes", "verdes"),
    Colour("blue", "azul", "azul", "azules", "azules"),
    Colour("purple", "morado", "morada", "morados", "moradas"),
    Colour("black", "negro", "negra", "negros", "negras"),
    Colour("white", "blanco", "blanca", "blancos", "blancas"),
)
