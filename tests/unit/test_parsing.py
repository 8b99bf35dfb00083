"""Outputs of the model and what they say, quirks included."""

import json
import time
from pathlib import Path

import pytest

from inference.parsing import MAX_DETECTIONS, parse, strip_tokens

BOX = "<loc0100><loc0200><loc0500><loc0600>"
OTHER = "<loc0000><loc0700><loc0300><loc1023>"
NUMBERS = tuple(range(16))
SEG = "".join(f"<seg{code:03d}>" for code in NUMBERS)


def boxed(*values: int) -> str:
    return "".join(f"<loc{value:04d}>" for value in values)


def summary(text: str, **options):
    """Labels, whether each has codes, text and problems."""
    parsed = parse(text, 1023, 1023, **options)
    things = [(detection.label, detection.codes is not None) for detection in parsed.detections]
    return things, parsed.text, list(parsed.problems)


@pytest.mark.parametrize(
    ("output", "things", "text"),
    [
        pytest.param(f"{BOX} cat", [("cat", False)], "cat", id="one box"),
        pytest.param(f"{BOX} cat ; {OTHER} dog", [("cat", False), ("dog", False)], "cat ; dog", id="two boxes"),
        pytest.param(f"{BOX}{SEG} cat", [("cat", True)], "cat", id="segmented"),
        pytest.param(f"{BOX} {SEG} cat", [("cat", True)], "cat", id="space between box and mask"),
        pytest.param(f"{BOX}{SEG}", [("", True)], "", id="no label and no space"),
        pytest.param(BOX, [("", False)], "", id="a box alone"),
        pytest.param(f"{BOX}cat", [("cat", False)], "cat", id="no space before the label"),
        pytest.param(f"{BOX} cat ; ", [("cat", False)], "cat", id="trailing separator"),
        pytest.param(f"{BOX} cat ;", [("cat", False)], "cat", id="trailing separator without a space"),
        pytest.param(f"{BOX} cat;{OTHER} dog", [("cat", False), ("dog", False)], "cat ; dog", id="tight separator"),
        pytest.param(f"{BOX} cat {OTHER} dog", [("cat", False), ("dog", False)], "cat ; dog", id="no separator"),
        pytest.param(f"{BOX}{SEG}{OTHER}{SEG}", [("", True), ("", True)], "", id="masks without labels and separator"),
        pytest.param(
            f"{BOX}{OTHER} dog", [("", False), ("dog", False)], "dog", id="boxes in a row, the last one named"
        ),
        pytest.param(f"{BOX} cat\n{OTHER} dog\n", [("cat", False), ("dog", False)], "cat ; dog", id="lines"),
        pytest.param(f"{BOX} cat<eos>", [("cat", False)], "cat", id="eos left in"),
        pytest.param(f"<bos>{BOX} cat<eos><pad><pad>", [("cat", False)], "cat", id="bos and padding left in"),
        pytest.param(f"{BOX}{SEG}<eos>", [("", True)], "", id="eos behind a mask"),
        pytest.param(
            f"{BOX}{SEG} cat ; {OTHER} dog", [("cat", True), ("dog", False)], "cat ; dog", id="with and without a mask"
        ),
        pytest.param(f"{BOX} the dog's bowl", [("the dog's bowl", False)], "the dog's bowl", id="apostrophe"),
        pytest.param(f"{BOX} t-shirt no. 7_b", [("t-shirt no. 7_b", False)], "t-shirt no. 7_b", id="hyphen and digits"),
        pytest.param(f"{BOX} niño pequeño", [("niño pequeño", False)], "niño pequeño", id="accents"),
        pytest.param(f"{BOX} 猫", [("猫", False)], "猫", id="other script"),
        pytest.param(f"{BOX}  red \t car ", [("red car", False)], "red car", id="white space in a label"),
        pytest.param(f"{BOX} a < b <b>", [("a < b <b>", False)], "a < b <b>", id="brackets in a label"),
        pytest.param(f"{boxed(0, 0, 1023, 1023)} cat", [("cat", False)], "cat", id="the whole picture"),
        pytest.param(f"I see {BOX} cat", [("cat", False)], "I see ; cat", id="words before"),
        pytest.param(f"{BOX} cat ; nothing else", [("cat", False)], "cat ; nothing else", id="words after"),
        pytest.param("A cat on a mat.", [], "A cat on a mat.", id="a sentence"),
        pytest.param("26-05-2023 21:52\n17.00", [], "26-05-2023 21:52\n17.00", id="lines of text"),
        pytest.param("one; two ; three", [], "one; two ; three", id="text with semicolons"),
        pytest.param(" red<eos>", [], "red", id="answer with eos"),
        pytest.param("2 < 3 and <html>", [], "2 < 3 and <html>", id="brackets in a text"),
        pytest.param("", [], "", id="empty"),
        pytest.param("\n", [], "", id="empty line"),
        pytest.param("<eos>", [], "", id="only eos"),
    ],
)
def test_outputs_without_a_fault_are_read_without_a_problem(output, things, text):
    assert summary(output) == (things, text, [])


@pytest.mark.parametrize(
    ("output", "things", "part"),
    [
        pytest.param(f"{boxed(1, 2, 3)} cat ; {BOX} dog", ["dog"], "exactly 4 coordinates", id="three coordinates"),
        pytest.param(f"{boxed(1, 2, 3, 4, 5)} cat", [], "exactly 4 coordinates", id="five coordinates"),
        pytest.param(f"{boxed(1, 2, 3, 4, 5)}", [], "exactly 4 coordinates", id="five coordinates and no label"),
        pytest.param("<loc0000><loc0000><loc1024><loc1024> cat", [], "range 0 to 1023", id="loc1024"),
        pytest.param("<loc0000><loc0000><loc9999><loc9999> cat", [], "range 0 to 1023", id="loc9999"),
        pytest.param("<loc0><loc0><loc10><loc10> cat", [], "range 0 to 1023", id="too few digits"),
        pytest.param(f"<loc{'9' * 5000}>{boxed(0, 9, 9)} cat", [], "range 0 to 1023", id="thousands of digits"),
        pytest.param(f"{boxed(500, 0, 100, 9)} cat", [], "no area", id="upside down"),
        pytest.param(f"{boxed(0, 9, 9, 0)} cat", [], "no area", id="right edge left of the left one"),
        pytest.param(f"{boxed(5, 5, 5, 9)} cat", [], "no area", id="no height"),
        pytest.param(f"{BOX}{SEG[:-8]} cat", ["cat"], "without a mask", id="15 codes"),
        pytest.param(f"{BOX}{SEG}<seg000> cat", ["cat"], "without a mask", id="17 codes"),
        pytest.param(f"{BOX}{SEG[:-8]}<seg128> cat", ["cat"], "without a mask", id="code out of range"),
        pytest.param(f"{SEG} cat ; {BOX} dog", ["dog"], "belong to no box", id="codes without a box"),
        pytest.param(f"{BOX} cat ; {BOX} cat", ["cat"], "repeated", id="repeated"),
        pytest.param(f"{BOX} cat ; {BOX} Cat", ["cat"], "repeated", id="repeated with a capital"),
        pytest.param(f"{BOX} cat ; {boxed(103, 202, 505, 598)} cat", ["cat"], "repeated", id="repeated nearly"),
        pytest.param(
            f"{boxed(5, 5, 15, 15)} ant ; {boxed(6, 4, 14, 17)} ant",
            ["ant"],
            "repeated",
            id="small and repeated nearly",
        ),
        pytest.param(f"{BOX} cat ; {boxed(1, 2)}", ["cat"], "ends in the middle", id="cut after two coordinates"),
        pytest.param(f"{BOX} cat ; {boxed(1)}", ["cat"], "ends in the middle", id="cut after one coordinate"),
        pytest.param(f"{BOX} cat ; {boxed(1, 2)}<loc0", ["cat"], "ends in the middle", id="cut inside a token"),
        pytest.param(f"{BOX} cat ; <loc01", ["cat"], "ends in the middle", id="cut inside the first token"),
        pytest.param(f"{BOX} cat ; {OTHER}{SEG[:24]}", ["cat", ""], "ends in the middle", id="cut inside a mask"),
    ],
)
def test_faults_are_reported_in_a_sentence(output, things, part):
    parsed = parse(output, 640, 480)
    assert [detection.label for detection in parsed.detections] == things
    assert sum(part in problem for problem in parsed.problems) == 1, parsed.problems
    for problem in parsed.problems:
        assert problem.endswith(".")
        assert "loc" not in problem


@pytest.mark.parametrize(
    ("output", "labels"),
    [
        pytest.param(f"{BOX} cat ; {OTHER} cat", ["cat", "cat"], id="two cats"),
        pytest.param(f"{BOX} cat ; {BOX} dog", ["cat", "dog"], id="two names for one place"),
        pytest.param(
            f"{boxed(0, 0, 10, 10)} ant ; {boxed(0, 8, 10, 18)} ant", ["ant", "ant"], id="neighbours that touch"
        ),
    ],
)
def test_different_things_are_not_taken_for_repeats(output, labels):
    parsed = parse(output, 640, 480)
    assert [detection.label for detection in parsed.detections] == labels
    assert parsed.problems == ()


def test_a_coordinate_stands_for_1023rds_of_the_side():
    (cat,) = parse(f"{boxed(0, 341, 1023, 1023)} cat", 300, 100).detections
    assert cat.box == pytest.approx((100, 0, 300, 100))


def test_a_box_that_rounds_to_no_pixel_is_left_out():
    assert len(parse(f"{boxed(0, 0, 1, 1)} dot", 1023, 1023).detections) == 1
    tiny = parse(f"{boxed(0, 0, 1, 1)} dot", 100, 100)
    assert tiny.detections == ()
    assert "no area" in tiny.problems[0]


def test_codes_keep_their_order():
    codes = (127, 0, 5, 99, *range(20, 32))
    (cat,) = parse(f"{BOX}{''.join(f'<seg{code:03d}>' for code in codes)} cat", 10, 10).detections
    assert cat.codes == codes


@pytest.mark.parametrize(
    ("output", "options", "labels"),
    [
        pytest.param(BOX, {"prompt": "detect cow"}, ["cow"], id="one asked for"),
        pytest.param(f"{BOX}{SEG}", {"prompt": "detect cow"}, ["cow"], id="segmented"),
        pytest.param(f"{BOX} cat", {"prompt": "detect cow"}, ["cat"], id="the model's own label stays"),
        pytest.param(BOX, {"prompt": "detect cow ; calf"}, ["cow / calf"], id="several asked for"),
        pytest.param(BOX, {"prompt": "detect red car"}, ["red car"], id="named in the prompt"),
        pytest.param(f"segment cow\n{BOX}", {}, ["cow"], id="named in an echo"),
        pytest.param(BOX, {"prompt": "Where is the cow?"}, [""], id="an open question names nothing"),
        pytest.param(BOX, {}, [""], id="nobody knows"),
    ],
)
def test_an_object_without_a_label_is_called_what_was_asked_for(output, options, labels):
    assert [detection.label for detection in parse(output, 640, 480, **options).detections] == labels


def test_not_knowing_which_of_several_is_said():
    assert "not named by the model" in parse(BOX, 9, 9, prompt="detect cow ; calf").problems[0]
    assert parse(BOX, 9, 9, prompt="detect cow").problems == ()


@pytest.mark.parametrize(
    ("output", "prompt", "text"),
    [
        pytest.param(f"detect shoe\n{BOX} shoe", "detect shoe", "shoe", id="objects, newline"),
        pytest.param(f"detect shoe {BOX} shoe", "detect shoe", "shoe", id="objects, space"),
        pytest.param(f"detect shoe {BOX} shoe", "", "shoe", id="objects, prompt unknown"),
        pytest.param(f"segment a ; b\n{BOX} a", "", "a", id="two objects, prompt unknown"),
        pytest.param(f"<image><image><bos>detect shoe\n{BOX} shoe", "detect shoe", "shoe", id="behind image tokens"),
        pytest.param("answer en What is it?\na cow", "answer en What is it?", "a cow", id="question, newline"),
        pytest.param("answer en What is it? a cow", "answer en What is it?", "a cow", id="question, space"),
        pytest.param("answer en What is it?\na cow", "", "a cow", id="question, prompt unknown"),
        pytest.param("What is it?\na cow", "What is it?", "a cow", id="open question, newline"),
        pytest.param("ocr\nSTOP", "ocr", "STOP", id="reading"),
        pytest.param("cap en\na cow", "", "a cow", id="caption, prompt unknown"),
        pytest.param("a cow", "cap en", "a cow", id="no echo"),
        pytest.param("red car on a road", "red car", "red car on a road", id="an answer that begins like the prompt"),
        pytest.param("STOP", "STOP", "STOP", id="an answer that is the prompt"),
        pytest.param("ocr software", "ocr", "ocr software", id="a word of the prompt in the answer"),
        pytest.param("detect smoke early", "", "detect smoke early", id="a sentence that begins like a command"),
    ],
)
def test_an_echo_of_the_prompt_is_taken_off_and_an_answer_is_not(output, prompt, text):
    assert parse(output, 640, 480, prompt=prompt).text == text


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(f"{BOX} cat ; {OTHER}{SEG} dog ", id="two"),
        pytest.param(f"detect cat\n{BOX} cat ; {OTHER}{SEG} dog<eos>", id="echo and eos"),
        pytest.param(f"{BOX} cat{OTHER}{SEG} dog", id="no separator"),
    ],
)
def test_spans_cover_an_object_from_its_box_to_its_label(output):
    cat, dog = parse(output, 640, 480).detections
    assert output[slice(*cat.span)] == f"{BOX} cat"
    assert output[slice(*dog.span)] == f"{OTHER}{SEG} dog"


def test_spans_of_boxes_in_a_row_do_not_overlap():
    output = f"{BOX}{OTHER}"
    assert [output[slice(*each.span)] for each in parse(output, 640, 480).detections] == [BOX, OTHER]


def test_a_repeat_that_has_a_mask_replaces_one_that_has_none():
    output = f"{BOX} cat ; {OTHER} dog ; {BOX}{SEG} cat"
    cat, dog = parse(output, 640, 480).detections
    assert (cat.label, cat.codes, dog.label) == ("cat", NUMBERS, "dog")
    assert output[slice(*cat.span)] == f"{BOX}{SEG} cat"


def test_a_loop_of_68_objects_is_told_in_one_sentence():
    parsed = parse(" ; ".join([f"{BOX} cat"] * 67 + [f"{OTHER} cat"]), 640, 480)
    assert [detection.label for detection in parsed.detections] == ["cat", "cat"]
    assert parsed.problems == ("66 objects were left out: the model repeated itself.",)
    assert parsed.text == "cat ; cat"


def test_problems_can_be_told_in_another_language():
    problems = parse(
        f"{BOX} cat ; {BOX} cat ; {boxed(1, 2, 3)} dog ; {boxed(3, 2, 1)} dog ; {BOX} x", 640, 480
    ).problems
    assert [(problem.template, problem.fields.get("count")) for problem in problems] == [
        ("{count:,} objects were left out: a box needs exactly 4 coordinates.", 2),
        ("1 object was left out: the model repeated itself.", None),
    ]


def test_no_more_than_a_hundred_objects_are_kept():
    output = " ; ".join(f"{boxed(y * 90, x * 90, y * 90 + 60, x * 90 + 60)} ant" for y in range(11) for x in range(11))
    parsed = parse(output, 640, 480)
    assert len(parsed.detections) == MAX_DETECTIONS == 100
    assert parsed.problems == ("21 objects were left out: only the first 100 are kept.",)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-1, 5)])
def test_a_picture_without_pixels_is_a_mistake_of_the_caller(width, height):
    with pytest.raises(ValueError, match="at least one pixel"):
        parse("", width, height)


HOSTILE = {
    "coordinates": "<loc0000>",
    "coordinates that make boxes": boxed(0, 0, 9, 9),
    "coordinates and spaces": "<loc0000>  \n ",
    "halves of tokens": "<loc",
    "tokens without an end": "<loc0001",
    "codes": "<seg000>",
    "brackets": "<",
    "separators": " ; ",
    "spaces": " ",
    "digits": "9",
    "objects": f"{BOX} cat ; ",
    "boxes with halves of codes": f"{BOX}<seg",
    "special tokens": "<eos>",
    "beginnings of special tokens": "<unused1",
    "commands": "detect ",
    "words and spaces": "detect a   ",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("start", ["", "<loc", "detect ", BOX], ids=["bare", "half token", "command", "box"])
def test_a_hundred_thousand_hostile_characters_take_no_time(unit, start):
    output = start + unit * (100_000 // len(unit))
    begin = time.thread_time()
    parsed = parse(output, 640, 480, prompt=output[:50])
    strip_tokens(output)
    assert time.thread_time() - begin < 2.0
    assert len(parsed.detections) <= MAX_DETECTIONS


def test_two_thousand_different_objects_take_no_time():
    output = " ; ".join(f"{boxed(i % 60, i // 60, 500 + i % 61, 400 + i % 47)} {i}" for i in range(2000))
    begin = time.thread_time()
    assert len(parse(output, 640, 480).detections) == MAX_DETECTIONS
    assert time.thread_time() - begin < 2.0


@pytest.mark.parametrize(
    ("partial", "text"),
    [
        pytest.param("", "", id="nothing yet"),
        pytest.param("A cat is", "A cat is", id="a sentence"),
        pytest.param("<loc0100>", "", id="one coordinate"),
        pytest.param(f"{BOX} c", "c", id="a label begins"),
        pytest.param(f"{BOX} cat ; ", "cat", id="a separator"),
        pytest.param(f"{BOX} cat ; {BOX}{SEG[:32]}", "cat", id="a mask begins"),
        pytest.param(f"{BOX}{SEG} cat ; {BOX}{SEG} dog", "cat ; dog", id="two objects"),
        pytest.param(f"{BOX} cat <loc01", "cat", id="half a token"),
        pytest.param("a man; a dog", "a man; a dog", id="text with a semicolon"),
        pytest.param("line one\nline two", "line one\nline two", id="lines"),
        pytest.param("a red <b>", "a red <b>", id="no token"),
    ],
)
def test_what_streams_is_shown_without_tokens(partial, text):
    assert strip_tokens(partial) == text


VECTORS = Path(__file__).parents[1] / "data" / "vectors.jsonl"
# Where another project's rule is not ours: it wants a label, knows only some labels, or takes <loc1024>.
OTHER_POLICY = {
    "<loc0256><loc0256><loc0768><loc0768>": [""],
    "<loc0256><loc0256><loc0768><loc0768> catt": ["catt"],
    "<loc0000><loc0000><loc1024><loc1024> dog <loc0102><loc0203><loc0304><loc0405> mouse": ["mouse"],
}


def test_outputs_collected_elsewhere_are_read_alike():
    wrong = []
    for vector in map(json.loads, VECTORS.read_text("utf-8").splitlines()):
        output, expected = vector["output"], vector.get("expected", {})
        width, height = (1000 if side is None else side for side in (vector["width"], vector["height"]))
        if width <= 0 or height <= 0:
            with pytest.raises(ValueError, match="at least one pixel"):
                parse(output, width, height)
            continue
        parsed = parse(output, width, height)
        labels = [detection.label for detection in parsed.detections]
        names = OTHER_POLICY.get(output, expected.get("names"))
        if names is not None and labels != names:
            wrong.append((output, "labels", labels, names))
        if "text" in expected and parsed.text != expected["text"]:
            wrong.append((output, "text", parsed.text, expected["text"]))
        if "seg_codes" in expected and parsed.detections[0].codes != tuple(expected["seg_codes"]):
            wrong.append((output, "codes", parsed.detections[0].codes, expected["seg_codes"]))
        boxes = expected.get("boxes_xyxy_px")
        if boxes is not None and output not in OTHER_POLICY:
            # Theirs are mostly 1024ths, rounded in their ways: at most two pixels from ours in pictures of this size.
            ours = [edge for detection in parsed.detections for edge in detection.box]
            theirs = [edge for box in boxes for edge in box]
            if len(ours) != len(theirs) or any(abs(a - b) > 2 for a, b in zip(ours, theirs, strict=True)):
                wrong.append((output, "boxes", ours, theirs))
        for detection in parsed.detections:
            values = [int(part[:4]) for part in output[slice(*detection.span)].split("<loc")[1:]]
            top, left, bottom, right = values
            pixels = (left / 1023 * width, top / 1023 * height, right / 1023 * width, bottom / 1023 * height)
            if detection.box != pytest.approx(pixels):
                wrong.append((output, "our rule", detection.box, pixels))
    assert not wrong
