"""Drawings of detections: what is drawn where, in which colour, and that every picture can be drawn on."""

import colorsys
import itertools
import time

import numpy as np
import pytest
from PIL import Image, ImageChops

from inference.masks import place
from inference.overlay import Colour, colours_of, draw, legend
from inference.types import Detection


def plain(width: int = 400, height: int = 300, colour=(128, 128, 128)) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def colour_of(label: str) -> Colour:
    """The colour of a label that is alone in its picture."""
    return colours_of([label])[label]


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    """bool (height, width): the pixels that differ."""
    return np.asarray(ImageChops.difference(before, after)).any(axis=2)


def disc(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    y, x = np.mgrid[:height, :width] + 0.5
    left, top, right, bottom = box
    across, down = (x - (left + right) / 2) / (right - left), (y - (top + bottom) / 2) / (bottom - top)
    return np.hypot(across, down) < 0.4


CAT = Detection("cat", (100, 100, 300, 250), score=0.87)


def test_the_picture_given_is_not_changed():
    image = plain()
    before = image.tobytes()
    drawn = draw(image, [CAT])
    assert image.tobytes() == before
    assert (drawn.mode, drawn.size) == ("RGB", image.size)
    assert drawn.tobytes() != before


def test_nothing_found_leaves_a_copy():
    image = plain()
    drawn = draw(image, [])
    assert drawn is not image
    assert drawn.tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_any_mode_of_picture_becomes_rgb(mode):
    assert draw(plain().convert(mode), [CAT]).mode == "RGB"


def test_the_box_is_drawn_on_its_own_pixels():
    drawn = draw(plain(), [CAT])
    colour = colour_of("cat")
    for point in ((100, 200), (299, 200), (250, 249), (298, 100)):
        assert drawn.getpixel(point) == colour, point
    assert drawn.getpixel((200, 200)) == (128, 128, 128), "the inside stays as it is"
    assert drawn.getpixel((350, 200)) == (128, 128, 128)


def test_a_box_around_the_whole_picture_is_visible_on_all_sides():
    drawn = draw(plain(), [Detection("wall", (0, 0, 400, 300))])
    for point in ((0, 150), (399, 150), (200, 299), (399, 0)):
        assert drawn.getpixel(point) == colour_of("wall")


def test_boxes_and_masks_can_be_left_out():
    mask = disc(400, 300, (100, 100, 300, 250))
    cat = Detection("cat", (100, 100, 300, 250), mask=mask)
    neither = draw(plain(), [cat], boxes=False, masks=False)
    assert neither.getpixel((200, 175)) == neither.getpixel((100, 200)) == (128, 128, 128)
    only_mask = draw(plain(), [cat], boxes=False)
    assert only_mask.getpixel((200, 175)) != (128, 128, 128)
    assert only_mask.getpixel((100, 200)) == (128, 128, 128)
    only_box = draw(plain(), [cat], masks=False)
    assert only_box.getpixel((200, 175)) == (128, 128, 128)
    assert only_box.getpixel((100, 200)) == colour_of("cat")


@pytest.mark.parametrize("opacity", [0.0, 0.45, 1.0])
def test_a_mask_is_mixed_with_the_picture_by_its_opacity_and_outlined(opacity):
    mask = disc(400, 300, (100, 100, 300, 250))
    drawn = np.asarray(draw(plain(), [Detection("cat", (100, 100, 300, 250), mask=mask)], opacity=opacity, boxes=False))
    colour = np.array(colour_of("cat"))
    expected = 128 + (colour - 128) * opacity
    assert np.abs(drawn[175, 200] - expected).max() <= 2
    first = int(np.flatnonzero(mask[175])[0])
    assert (drawn[175, first] == colour).all(), "the outline begins at the mask's first pixel"
    assert (drawn[175, first - 1] == 128).all(), "and nothing is drawn outside"


def test_only_the_mask_is_tinted():
    mask = disc(400, 300, (100, 100, 300, 250))
    drawn = draw(plain(), [Detection("cat", (100, 100, 300, 250), mask=mask)], boxes=False)
    touched = changed(plain(), drawn)
    touched[:100] = False  # the label stands above the box
    np.testing.assert_array_equal(touched, mask)


def test_a_mask_of_another_size_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="does not belong"):
        draw(plain(), [Detection("cat", (0, 0, 5, 5), mask=np.zeros((5, 5), dtype=bool))])


def test_an_empty_mask_draws_nothing():
    mask = np.zeros((300, 400), dtype=bool)
    with_mask = draw(plain(), [Detection("cat", (100, 100, 300, 250), mask=mask)])
    assert with_mask.tobytes() == draw(plain(), [Detection("cat", (100, 100, 300, 250))]).tobytes()


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (128, 128, 128), colour_of("cat")], ids=str)
def test_box_and_label_are_visible_on_any_ground(ground):
    image = plain(colour=ground)
    assert changed(image, draw(image, [CAT])).sum() > 1000
    assert changed(draw(image, [Detection("cat", CAT.box)]), draw(image, [Detection("dog", CAT.box)])).any()


def luminance(colour) -> float:
    linear = [
        value / 255 / 12.92 if value / 255 <= 0.04045 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def all_colours() -> list[tuple[int, int, int]]:
    return sorted({colour_of(f"thing {number}") for number in range(2000)})


@pytest.mark.parametrize(
    "label", [next(f"thing {n}" for n in range(2000) if colour_of(f"thing {n}") == c) for c in all_colours()]
)
def test_the_writing_on_a_label_has_the_contrast_that_accessibility_rules_ask_for(label):
    drawn = draw(plain(), [Detection(label, (100, 100, 300, 250))], boxes=False, masks=False)
    chip = np.asarray(drawn)[changed(plain(), drawn)]
    lights = [luminance(pixel) for pixel in {tuple(map(int, pixel)) for pixel in chip}]
    ground = luminance(colour_of(label))
    contrast = max((max(light, ground) + 0.05) / (min(light, ground) + 0.05) for light in lights)
    assert contrast >= 4.5  # WCAG 2 AA


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((0, 0, 50, 50), id="upper left"),
        pytest.param((350, 0, 400, 50), id="upper right"),
        pytest.param((0, 250, 50, 300), id="lower left"),
        pytest.param((350, 250, 400, 300), id="lower right"),
        pytest.param((0, 0, 400, 300), id="the whole picture"),
        pytest.param((399, 299, 400, 300), id="the last pixel"),
    ],
)
def test_the_label_stays_inside_the_picture(box):
    in_corner = draw(plain(), [Detection("traffic light", box, score=0.5)], boxes=False)
    in_middle = draw(plain(), [Detection("traffic light", (150, 150, 250, 250), score=0.5)], boxes=False)
    assert changed(plain(), in_corner).sum() == changed(plain(), in_middle).sum(), "the whole chip is there"


def test_labels_of_things_at_one_place_do_not_cover_each_other():
    pile = [Detection("cat", (100 + i, 100 + i, 250 + i, 200 + i), score=0.5) for i in range(5)]
    one = changed(plain(), draw(plain(), pile[:1], boxes=False)).sum()
    assert changed(plain(), draw(plain(), pile, boxes=False)).sum() == 5 * one


def test_the_score_is_written():
    assert changed(draw(plain(), [CAT]), draw(plain(), [Detection("cat", CAT.box, score=0.12)])).any()
    without = changed(plain(), draw(plain(), [Detection("cat", CAT.box)], boxes=False)).sum()
    assert changed(plain(), draw(plain(), [CAT], boxes=False)).sum() > without


def test_spanish_labels_are_written_in_the_colour_of_the_english_ones():
    cat = Detection("cat", CAT.box, translated_label="gato pequeño")
    spanish = draw(plain(), [cat], language="es")
    assert changed(draw(plain(), [cat]), spanish).any()
    assert spanish.getpixel((100, 200)) == colour_of("cat")
    assert (
        draw(plain(), [Detection("cat", CAT.box)], language="es").tobytes()
        == draw(plain(), [Detection("cat", CAT.box)]).tobytes()
    )


@pytest.mark.parametrize(
    "size",
    [(1, 1), (2, 300), (300, 2), (16, 16), (64, 64), (64, 3000), (3000, 20), (1200, 900)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_a_picture_of_any_size_can_be_drawn_on(size):
    width, height = size
    things = [
        Detection("cat", (0, 0, width, height), score=0.5, mask=np.ones((height, width), dtype=bool)),
        Detection(
            "a very long label indeed, longer than any picture of this kind is wide", (0, 0, 0.2, 0.2), score=1.0
        ),
        Detection("outside", (width + 5, height + 5, width + 9, height + 9)),
    ]
    assert draw(plain(width, height), things).size == size


@pytest.mark.parametrize(
    "label",
    [
        pytest.param("", id="empty"),
        pytest.param(" \n\t", id="white space"),
        pytest.param("two\nlines", id="lines"),
        pytest.param("猫 عربى हिन्दी", id="no glyphs for it"),
        pytest.param("cat 🐈", id="emoji"),
        pytest.param("\x00\u202e\ufeff", id="invisible"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("e\u0301" * 40, id="combining"),
        pytest.param("x" * 5000, id="endless"),
    ],
)
def test_any_label_can_be_drawn(label):
    draw(plain(), [Detection(label, CAT.box, score=0.5)])
    assert legend([Detection(label, CAT.box)])[0][2] == 1


def labelled(label: str, score: float | None = 0.5) -> np.ndarray:
    """The picture with the label of a thing, in a colour that is the same for all."""
    thing = Detection(label, CAT.box, score=score)
    return np.asarray(draw(plain(), [thing], boxes=False, colours={label: colour_of("cat")}))


@pytest.mark.parametrize(
    ("label", "same"),
    [
        pytest.param("cat 🐈", "cat", id="an emoji beside a word"),
        pytest.param("cat ❤\ufe0f 👨\u200d👩\u200d👧", "cat", id="emoji that are joined"),
        pytest.param("cafe\u0301", "café", id="a letter and its accent"),
        pytest.param("se\u200cparate", "separate", id="what keeps letters apart"),
        pytest.param("红色 taxi 출租车", "… taxi …", id="words of other scripts"),
        pytest.param("红色 的 taxi", "… taxi", id="several of them"),
        pytest.param("taxi" + " 红色的汽车" * 20, "taxi …", id="many of them"),
    ],
)
def test_of_a_label_what_the_font_has_is_written(label: str, same: str):
    assert (labelled(label) == labelled(same)).all()


@pytest.mark.parametrize(
    "label", ["猫", "红色的汽车", "سيارة حمراء", "חתול", "แมว", "बिल्ली", "고양이", "🐈"], ids=lambda label: label
)
def test_of_a_label_in_another_script_the_score_is_written_and_no_boxes(label: str):
    assert (labelled(label) == labelled("猫")).all()
    assert (labelled(label, 0.5) != labelled(label, 0.6)).any()
    assert (labelled(label, None) == np.asarray(plain())).all()
    assert legend([Detection(label, CAT.box)])[0][0] == label


def test_spanish_accents_have_glyphs():
    pictures = {
        draw(plain(), [Detection(letter, CAT.box)], boxes=False).crop().tobytes() for letter in "áéíóúüñ¿¡Ñaeioun"
    }
    assert len(pictures) == 16, "each looks different, so none is the sign for a missing glyph"


def test_lines_and_letters_grow_with_the_picture():
    def line(width: int) -> int:
        drawn = draw(plain(width, width), [Detection("x", (width // 4, width // 4, width * 3 // 4, width * 3 // 4))])
        row = np.asarray(drawn)[width // 2, : width // 2]
        return int((row == colour_of("x")).all(axis=1).sum())

    assert line(100) >= 1
    assert line(3000) >= 4 * line(448) > 0


def test_a_label_has_the_same_colour_in_every_process():
    # Written down, because Python's own hash of a string would give others in each process.
    assert colour_of("cat") == (15, 150, 150)
    assert colour_of("dog") == (255, 122, 26)
    assert colour_of("traffic light") == (190, 220, 255)


LABELS = [f"thing {number}" for number in range(20)]


def test_twenty_labels_in_one_picture_have_twenty_colours():
    assert len(set(colours_of(LABELS).values())) == 20


def test_the_order_of_labels_does_not_change_their_colours():
    assert colours_of(LABELS) == colours_of(reversed(LABELS)) == colours_of(LABELS * 2)


def test_capital_letters_and_spaces_do_not_change_a_colour():
    assert colour_of("Red  Car ") == colour_of("red car")
    assert len(set(colours_of(["Cat", "cat", " cat"]).values())) == 1


def test_more_labels_than_colours_still_get_one_each():
    colours = colours_of([f"thing {number}" for number in range(300)])
    assert len(colours) == 300


def test_colours_are_far_enough_apart_and_vivid_enough():
    colours = all_colours()
    for one, other in itertools.combinations(colours, 2):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 60, (one, other)
    for colour in colours:
        _, light, saturation = colorsys.rgb_to_hls(*(value / 255 for value in colour))
        assert 0.2 < light < 0.93
        assert saturation > 0.25


def test_the_legend_counts_things_by_label_in_order():
    things = [
        Detection("dog", (0, 0, 5, 5), translated_label="perro"),
        Detection("cat", (0, 0, 5, 5)),
        Detection("Dog", (0, 0, 5, 5), translated_label="perro"),
        Detection("", (0, 0, 5, 5)),
    ]
    colours = colours_of(["dog", "cat", ""])
    assert legend(things) == [("dog", colours["dog"], 2), ("cat", colours["cat"], 1), ("object", colours[""], 1)]
    assert [entry[0] for entry in legend(things, "es")] == ["perro", "cat", "objeto"]
    assert legend([]) == []


def test_the_legend_names_the_colours_of_the_drawing():
    things = [Detection(label, (20 * index, 100, 20 * index + 18, 250)) for index, label in enumerate(LABELS[:16])]
    drawn = draw(plain(), things)
    for (_, colour, _), thing in zip(legend(things), things, strict=True):
        assert drawn.getpixel((int(thing.box[0]), 180)) == colour


def test_twelve_megapixels_are_drawn_in_a_second():
    boxes = [(200 * i, 150 * i, 200 * i + 1500, 150 * i + 1200) for i in range(8)]
    round_mask = np.where(disc(64, 64, (0, 0, 64, 64)), 1.0, -1.0)
    things = [Detection(f"thing {i}", box, mask=place(round_mask, box, 4000, 3000)) for i, box in enumerate(boxes)]
    image = plain(4000, 3000)
    begin = time.thread_time()
    draw(image, things)
    assert time.thread_time() - begin < 3  # of the processor; 0.3 s were measured


def test_what_stays_keeps_its_colour_when_others_are_left_out():
    assert colour_of("bus") == colour_of("dog")  # alone, the dog would have the colour that the bus has beside it
    bus, dog = Detection("bus", (20, 40, 120, 140)), Detection("dog", (200, 100, 300, 250))
    colours = colours_of(["bus", "dog"])
    for things in ([bus, dog], [dog]):
        assert draw(plain(), things, colours=colours).getpixel((250, 249)) == colours["dog"]
    assert colours["dog"] != colour_of("dog")
    assert legend([dog], colours=colours) == [("dog", colours["dog"], 1)]
