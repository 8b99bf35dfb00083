"""Examples as the model meets them: prompts and targets of a pool's scenes as token numbers.

Knows the pool, the grammar and the tokenizer. Knows nothing of models.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training import grammar
from training.lexicon import COLOURS, KINDS
from training.pool import Pool
from training.tokenizer import Inventory

LOCATION_BINS = 1024

STEP = 11
"""Boxes are told on every 11th bin, 93 steps from edge to edge. Were all 1024 used, the certainty of an edge would be
spread over so many neighbours that "nothing is there" would win against each single one of them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt and its target for one picture.

    Attributes:
        picture: The picture's place in the batch.
        prefix: Token numbers of `<bos>`, the prompt and the newline.
        target: Token numbers of the target and `<eos>`.
        places: As long as `target`: the exact place in bins where a loc token stands, else -1.
    """

    picture: int
    prefix: list[int]
    target: list[int]
    places: list[float]


@dataclass(frozen=True, slots=True)
class Found:
    """A thing as detect and segment tell of it: bins y_min, x_min, y_max, x_max, and its mask codes if known."""

    kind: str
    colour: str
    bins: tuple[float, float, float, float]
    codes: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Mix:
    """How many prompts of each sort a picture gets; of comparisons, how many pairs."""

    detect: int = 2
    segment: int = 1
    descriptions: int = 1
    text: int = 2
    comparisons: int = 1


def things(pool: Pool, index: int, flipped: bool, codes: np.ndarray | None) -> list[Found]:
    """A scene's things from left to right."""
    side = pool.images.shape[1]
    found = []
    scene_rows = range(pool.first[index], pool.first[index + 1])
    for row in scene_rows:
        x_min, y_min, x_max, y_max = (float(v) / side for v in pool.boxes[row])
        if flipped:
            x_min, x_max = 1 - x_max, 1 - x_min
        scale = LOCATION_BINS - 1
        kind, colour = KINDS[pool.kinds[row]].en, COLOURS[pool.colours[row]].en
        own = None if codes is None else tuple(int(v) for v in codes[int(flipped), row])
        found.append(Found(kind, colour, (y_min * scale, x_min * scale, y_max * scale, x_max * scale), own))
    found.sort(key=lambda thing: (thing.bins[1] + thing.bins[3], thing.bins[0] + thing.bins[2]))
    return found


def matching(phrase: str, found: Sequence[Found]) -> list[Found]:
    """The things that a phrase such as "star" or "red star" names, left to right."""
    return [thing for thing in found if phrase in (thing.kind, f"{thing.colour} {thing.kind}")]


def ask_for(found: Sequence[Found], absent: Sequence[str], rng: random.Random, *, most_objects: int) -> list[str]:
    """Phrases for one detect or segment prompt: mostly one that is there, sometimes several, sometimes absent ones."""
    present = list(dict.fromkeys(thing.kind for thing in found))
    coloured = list(dict.fromkeys(f"{thing.colour} {thing.kind}" for thing in found))
    chance = rng.random()
    if chance < 0.15:
        phrases = [rng.choice(absent)]
    elif chance < 0.5 or len(present) == 1:
        phrases = [rng.choice(coloured if rng.random() < 0.5 else present)]
    else:
        names = rng.sample(present, min(len(present), rng.choice((2, 2, 3))))
        phrases = [
            name if rng.random() < 0.5 else rng.choice([p for p in coloured if p.endswith(" " + name)])
            for name in names
        ]
    if chance > 0.9:
        phrases.insert(rng.randint(0, len(phrases)), rng.choice(absent))
    while len(phrases) > 1 and sum(len(matching(phrase, found)) for phrase in phrases) > most_objects:
        phrases.pop()
    return list(dict.fromkeys(phrases))


class Examples:
    """Turns scenes of a pool into rows. `codes` are the things' mask codes, int (2, things, 16), or None."""

    def __init__(self, pool: Pool, inventory: Inventory, codes: np.ndarray | None) -> None:
        self.pool = pool
        self.codes = codes
        self.inventory = inventory
        self._backend = inventory.tokenizer.backend_tokenizer
        self._between = self._encode(" ; <loc0000>")[:-1]

    def rows(self, index: int, flipped: bool, picture: int, rng: random.Random, mix: Mix) -> list[Sample]:
        """Rows for one scene: some of each task."""
        found = things(self.pool, index, flipped, self.codes)
        scene = self.pool.scene(index, flipped)
        absent = grammar.absent_phrases(scene, rng)
        rows = []
        for _ in range(mix.detect):
            rows.append(self.objects("detect", ask_for(found, absent, rng, most_objects=5), found, picture))
        if self.codes is not None:
            for _ in range(mix.segment):
                rows.append(self.objects("segment", ask_for(found, absent, rng, most_objects=5), found, picture))
        for example in grammar.description_examples(scene, rng)[: mix.descriptions]:
            rows.append(self.text(example, picture))
        if mix.text:
            texts = grammar.text_examples(scene, rng)
            # Reading a picture without writing is easily learnt; asking it each time would teach little.
            texts = [e for e in texts if e.prompt != "ocr" or e.target or rng.random() < 0.3]
            for example in self._choose(texts, mix.text, rng):
                rows.append(self.text(example, picture))
        for example in grammar.comparison_examples(scene, rng, pairs=mix.comparisons):
            rows.append(self.text(example, picture))
        return rows

    def _choose(self, texts: list[grammar.Example], count: int, rng: random.Random) -> list[grammar.Example]:
        reading = [e for e in texts if e.prompt == "ocr" and e.target]
        chosen = reading if rng.random() < 0.9 else []
        rest = [e for e in texts if e not in chosen]
        return [*chosen, *rng.sample(rest, min(len(rest), count - len(chosen)))]

    def text(self, example: grammar.Example, picture: int) -> Sample:
        """A row whose target is plain text."""
        target = [*self._encode(example.target), self.inventory.eos]
        return Sample(picture, self.prefix(example.prompt), target, [-1.0] * len(target))

    def objects(self, task: str, phrases: Sequence[str], found: Sequence[Found], picture: int) -> Sample:
        """A row whose target is a list of objects, with mask codes if the task is "segment"."""
        target: list[int] = []
        places: list[float] = []
        for phrase in phrases:
            label = self._encode(" " + phrase)
            for thing in matching(phrase, found):
                if target:
                    target += self._between
                    places += [-1.0] * len(self._between)
                target += [self.inventory.first_location + STEP * round(bin_ / STEP) for bin_ in thing.bins]
                places += thing.bins
                if task == "segment":
                    assert thing.codes is not None
                    target += [self.inventory.first_code + code for code in thing.codes]
                target += label
                places += [-1.0] * (len(target) - len(places))
        target.append(self.inventory.eos)
        places.append(-1.0)
        return Sample(picture, self.prefix(f"{task} {' ; '.join(phrases)}"), target, places)

    def prefix(self, prompt: str) -> list[int]:
        """Token numbers of `<bos>`, a prompt and the newline."""
        return [self.inventory.bos, *self._encode(prompt + "\n")]

    def _encode(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids
