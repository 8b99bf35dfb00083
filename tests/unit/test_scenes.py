import random

import numpy as np
import pytest

from training import scenes
from training.grammar import WORDS
from training.lexicon import COLOURS, KINDS
from training.world import Scene

HELD_OUT = [scenes.held_out_seed(3, index) for index in range(40)]


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    return [scenes.draw(seed) for seed in HELD_OUT]


def test_the_same_seed_gives_the_same_picture_and_truth() -> None:
    one, two = scenes.draw(12), scenes.draw(12)
    assert one.image.tobytes() == two.image.tobytes()
    assert [thing.box for thing in one.things] == [thing.box for thing in two.things]
    assert one.writing == two.writing
    assert one.image.tobytes() != scenes.draw(13).image.tobytes()


@pytest.mark.parametrize("seed", [0, 1, 7, 123_456_789, 10**12, -5])
def test_training_can_never_draw_an_evaluation_seed(seed: int) -> None:
    for index in (0, 1, 149, 10_000):
        assert scenes.held_out_seed(seed, index) not in scenes.TRAINING_SEEDS
        assert scenes.held_out_seed(seed, index) in scenes.HELD_OUT_SEEDS


def test_boxes_are_tight_around_the_visible_masks(drawn: list[Scene]) -> None:
    for scene in drawn:
        for thing in scene.things:
            rows, columns = np.flatnonzero(thing.mask.any(1)), np.flatnonzero(thing.mask.any(0))
            assert thing.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            assert thing.mask.shape == (scene.image.height, scene.image.width)


def test_nothing_is_tiny_and_no_pixel_belongs_to_two_things(drawn: list[Scene]) -> None:
    for scene in drawn:
        owners = np.sum([thing.mask for thing in scene.things], axis=0)
        assert owners.max() == 1
        for thing in scene.things:
            x_min, y_min, x_max, y_max = thing.box
            assert max(x_max - x_min, y_max - y_min) >= 30


def test_things_stand_in_reading_order_and_in_the_number_asked_for(drawn: list[Scene]) -> None:
    for scene in drawn:
        assert 1 <= len(scene.things) <= 5
        lefts = [thing.centre[0] for thing in scene.things]
        assert lefts == sorted(lefts)
    assert {len(scenes.draw(seed, things=(2, 2)).things) for seed in HELD_OUT[:8]} <= {1, 2}


def test_every_kind_and_colour_turns_up() -> None:
    things = [thing for seed in range(120) for thing in scenes.draw(seed).things]
    assert {thing.kind for thing in things} == set(KINDS)
    assert {thing.colour for thing in things} == set(COLOURS)


def test_writing_is_of_the_known_words_and_keeps_clear_of_things() -> None:
    written = [scene for seed in range(30) if (scene := scenes.draw(seed, writing=1.0)).writing]
    assert len(written) == 30
    for scene in written:
        assert scene.writing is not None
        assert set(scene.writing.text.split(" ")) <= set(WORDS)
        x_min, y_min, x_max, y_max = (int(v) for v in scene.writing.box)
        assert x_min >= 0
        assert y_min >= 0
        assert max(x_max, y_max) <= scenes.SIDE
        assert not any(thing.mask[y_min:y_max, x_min:x_max].any() for thing in scene.things)
    assert all(scenes.draw(seed, writing=0.0).writing is None for seed in range(10))


@pytest.mark.parametrize("kind", ["ring", "cup", "key"])
def test_a_ring_a_cup_and_a_key_have_a_hole(kind: str) -> None:
    shape = scenes.SHAPES[kind]
    alpha, _ = scenes._cut(scenes._outline(shape, 90, 0.2, 1.0, mirrored=False))
    assert _holes(alpha > 0.5) == 1


@pytest.mark.parametrize("kind", [kind.en for kind in KINDS if kind.en not in ("ring", "cup", "key")])
def test_other_kinds_are_solid_and_of_one_piece(kind: str) -> None:
    alpha, _ = scenes._cut(scenes._outline(scenes.SHAPES[kind], 90, -0.2, 1.0, mirrored=scenes.SHAPES[kind].mirrored))
    assert _holes(alpha > 0.5) == 0
    assert _pieces(alpha > 0.5) == 1


def test_black_and_white_stand_out_from_every_ground() -> None:
    for seed in range(40):
        ground = scenes._ground(random.Random(seed), np.random.default_rng(seed))
        assert 80 < ground.mean() < 230


def _pieces(mask: np.ndarray) -> int:
    """How many connected areas are True, neighbours counted along rows and columns."""
    left, count = mask.copy(), 0
    while left.any():
        count += 1
        area = np.zeros_like(left)
        area[tuple(np.argwhere(left)[0])] = True
        while True:
            grown = area.copy()
            grown[1:] |= area[:-1]
            grown[:-1] |= area[1:]
            grown[:, 1:] |= area[:, :-1]
            grown[:, :-1] |= area[:, 1:]
            grown &= left
            if (grown == area).all():
                break
            area = grown
        if area.sum() < 4:
            count -= 1
        left &= ~area
    return count


def _holes(mask: np.ndarray) -> int:
    """Areas that are not part of a silhouette and do not touch the border."""
    return _pieces(np.pad(~mask, 1, constant_values=True)) - 1
