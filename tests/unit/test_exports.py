"""Results as files: what the tools that read them make of them."""

import csv
import io
import json
import tracemalloc
import zipfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from inference import exports
from inference.exports import Drawing, Exported, csv_text, files, pack, safe_name, unique_names, yolo
from inference.outlines import outline
from inference.types import Detection, Result, Translation

WIDTH, HEIGHT = 120, 80


def drawn_mask(*shapes: tuple[str, tuple[int, ...], int], size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """A mask of shapes: the name of a pen's method, its place, and 1 to add or 0 to take away."""
    canvas = Image.new("L", size)
    for method, place, fill in shapes:
        getattr(ImageDraw.Draw(canvas), method)(place, fill=fill)
    return np.asarray(canvas).astype(bool)


CAT = drawn_mask(("ellipse", (10, 10, 49, 39), 1))
RING = drawn_mask(("ellipse", (60, 20, 109, 69), 1), ("ellipse", (75, 35, 94, 54), 0))
BOTH = (
    Detection("cat", (10, 10, 50, 40), score=0.875, mask=CAT, translated_label="gato"),
    Detection("ring", (60, 20, 110, 70), score=0.5, mask=RING, translated_label="anillo"),
    Detection("Cat", (80.5, 2, 100, 22.25), score=None, translated_label="gato"),
)


def exported(name: str = "street.jpg", detections: tuple[Detection, ...] = BOTH, **changes: object) -> Exported:
    result = Result("segment", "tiny", "segment cat ; ring", "", "cat ; ring", WIDTH, HEIGHT, detections=detections)
    return Exported(name, Image.new("RGB", (WIDTH, HEIGHT), "white"), replace(result, **changes))  # type: ignore[arg-type]


def loaded(*items: Exported, folder) -> COCO:
    path = folder / "coco.json"
    path.write_bytes(next(files(items, ["coco"])).content)
    with redirect_stdout(io.StringIO()):  # it reports its progress there
        return COCO(str(path))


def filled(polygon: list[tuple[float, float]], width: int, height: int) -> np.ndarray:
    """A polygon as pycocotools rasterises it."""
    encoded = coco_mask.frPyObjects([[value for point in polygon for value in point]], height, width)
    return coco_mask.decode(encoded)[..., 0].astype(bool)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_pycocotools_reads_boxes_areas_and_masks_as_they_are(tmp_path):
    dataset = loaded(exported(), folder=tmp_path)

    cat, ring, box_only = dataset.loadAnns(dataset.getAnnIds())
    assert np.array_equal(dataset.annToMask(cat).astype(bool), CAT)
    assert np.array_equal(dataset.annToMask(ring).astype(bool), RING)
    assert (cat["area"], ring["area"], box_only["area"]) == (CAT.sum(), RING.sum(), round(19.5 * 20.25, 2))
    assert (cat["bbox"], box_only["bbox"]) == ([10, 10, 40, 30], [80.5, 2, 19.5, 20.25])
    assert dataset.annToMask(box_only).sum() == pytest.approx(19.5 * 20.25, rel=0.06)
    assert [cat["score"], ring["score"]] == [0.875, 0.5]
    assert "score" not in box_only


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_evaluated_against_itself_the_coco_file_is_perfect(tmp_path, kind):
    scored = tuple(replace(thing, score=0.5) for thing in BOTH)
    truth = loaded(exported("a.png", scored), exported("b.png", scored[:1]), folder=tmp_path)
    with redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(truth.dataset["annotations"]), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()

    assert evaluation.stats[0] == pytest.approx(1.0)


def test_several_pictures_share_categories_and_no_two_things_share_an_id(tmp_path):
    dataset = loaded(exported("a.png"), exported("a.png"), exported("empty.png", ()), folder=tmp_path)

    assert [image["file_name"] for image in dataset.dataset["images"]] == ["a.png", "a-2.png", "empty.png"]
    assert [category["name"] for category in dataset.dataset["categories"]] == ["cat", "ring"]
    assert len({annotation["id"] for annotation in dataset.dataset["annotations"]}) == 6
    assert [len(dataset.getAnnIds(imgIds=number)) for number in (1, 2, 3)] == [3, 3, 0]
    assert dataset.getAnnIds(imgIds=2, catIds=1) == [4, 6]


def test_a_box_that_leaves_the_picture_is_cut_at_its_edge(tmp_path):
    item = exported(detections=(Detection("cat", (-5, -5, WIDTH + 9, 40)),))

    assert loaded(item, folder=tmp_path).anns[1]["bbox"] == [0, 0, WIDTH, 40]
    assert yolo([item])[0].content == b"0 0.500000 0.250000 1.000000 0.500000\n"


def test_yolo_boxes_are_centre_and_size_as_parts_of_the_picture():
    by_path = {file.path: file.content.decode() for file in yolo([exported()])}

    first, second, third = (line.split() for line in by_path["boxes/street.txt"].splitlines())
    assert [first[0], second[0], third[0]] == ["0", "1", "0"]
    assert list(map(float, first[1:])) == pytest.approx([30 / 120, 25 / 80, 40 / 120, 30 / 80], abs=1e-6)
    assert by_path["classes.txt"] == "cat\nring\n"
    assert yaml.safe_load(by_path["data.yaml"])["names"] == {0: "cat", 1: "ring"}


def test_yolo_segments_drawn_again_are_the_masks():
    by_path = {file.path: file.content.decode() for file in yolo([exported()])}

    masks = []
    for line in by_path["segments/street.txt"].splitlines():
        values = np.array(line.split()[1:], dtype=float).reshape(-1, 2)
        assert values.min() >= 0
        assert values.max() <= 1
        masks.append(filled([(x * WIDTH, y * HEIGHT) for x, y in values], WIDTH, HEIGHT))
    assert overlap(masks[0], CAT) > 0.95
    assert overlap(masks[1], RING) > 0.95
    assert len(line.split()) == 9  # the box without a mask is a rectangle: five numbers would be read as two points


def test_without_masks_there_are_no_segments():
    item = exported(detections=(Detection("cat", (1, 2, 3, 4)),))

    assert [file.path for file in yolo([item])] == ["boxes/street.txt", "classes.txt", "data.yaml"]


def test_a_mask_of_nothing_is_exported_as_its_box(tmp_path):
    item = exported(detections=(Detection("cat", (0, 0, 60, 40), mask=np.zeros((HEIGHT, WIDTH), bool)),))

    assert loaded(item, folder=tmp_path).anns[1]["area"] == 0
    assert b" 0.500000 0.500000" in {file.path: file.content for file in yolo([item])}["segments/street.txt"]


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param([("rectangle", (0, 0, 119, 79), 1)], id="the whole picture"),
        pytest.param([("rectangle", (7, 7, 7, 7), 1)], id="one pixel"),
        pytest.param([("rectangle", (3, 5, 3, 60), 1)], id="a line one pixel wide"),
        pytest.param([("line", (0, 0, 79, 79), 1)], id="pixels that touch at corners"),
        pytest.param([("ellipse", (20, 10, 99, 69), 1)], id="round"),
        pytest.param([("rectangle", (5, 5, 40, 40), 1), ("ellipse", (60, 30, 110, 70), 1)], id="two parts"),
        pytest.param(
            [("ellipse", (5, 5, 75, 75), 1), ("ellipse", (15, 20, 30, 60), 0), ("rectangle", (45, 30, 55, 50), 0)],
            id="two holes",
        ),
        pytest.param(
            [("ellipse", (5, 5, 75, 75), 1), ("ellipse", (15, 15, 65, 65), 0), ("ellipse", (30, 30, 50, 50), 1)],
            id="a part in a hole",
        ),
        pytest.param(
            [("rectangle", (0, 0, 9, 9), 1), ("rectangle", (10, 10, 19, 19), 1)], id="parts that share a corner"
        ),
        pytest.param(
            [("rectangle", (0, 0, 29, 29), 1), ("rectangle", (5, 5, 14, 14), 0), ("rectangle", (15, 15, 24, 24), 0)],
            id="holes that share a corner",
        ),
    ],
)
def test_an_outline_filled_again_is_the_mask(shapes):
    mask = drawn_mask(*shapes)
    again = filled(outline(mask), WIDTH, HEIGHT)

    assert overlap(again, mask) > 0.95


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**12 - 1), min_size=1, max_size=12))
def test_the_outline_of_any_small_mask_is_exact(rows):
    mask = np.array([[row >> bit & 1 for bit in range(12)] for row in rows], dtype=bool)

    polygon = outline(mask)
    area = sum(x * v - u * y for (x, y), (u, v) in zip(polygon, polygon[1:] + polygon[:1], strict=True)) / 2

    assert area == mask.sum()
    if polygon:
        assert np.array_equal(filled(polygon, 12, len(rows)), mask)


def test_a_large_outline_has_few_points():
    mask = drawn_mask(("ellipse", (100, 100, 1899, 1399), 1), size=(2000, 1500))

    assert len(outline(mask)) < 120
    assert overlap(filled(outline(mask), 2000, 1500), mask) > 0.995


def test_an_outline_is_made_of_less_where_its_border_is_very_long_and_stays_in_the_picture():
    mask = drawn_mask(("ellipse", (700, 400, 5300, 4999), 1), ("rectangle", (0, 0, 5000, 2000), 1), size=(5301, 5000))
    polygon = outline(mask)

    assert overlap(filled(polygon, 5301, 5000), mask) > 0.999
    assert np.max(polygon, axis=0).tolist() == [5301, 5000]


def test_two_combs_that_face_each_other_take_no_more_than_their_picture():
    mask = np.zeros((40, 4004), dtype=bool)
    mask[:18, ::2] = mask[22:, ::2] = True
    mask[:3] = mask[-3:] = True
    tracemalloc.start()
    try:
        polygon = outline(mask)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 20_000_000  # 370 MB where each corner of one was compared with each of the other
    assert np.min(polygon) == 0
    assert np.max(polygon, axis=0).tolist() == [4004, 40]


def test_masks_are_black_and_white_pngs_and_one_index_of_them_all():
    inner = drawn_mask(("rectangle", (20, 15, 30, 25), 1))
    things = (replace(BOTH[0], label="cat / dog"), BOTH[2], Detection("eye", (20, 15, 31, 26), mask=inner))
    by_path = {file.path: file.content for file in files([exported(detections=things)], ["masks"])}

    assert list(by_path) == [f"masks/street/{name}.png" for name in ("01-cat _ dog", "03-eye", "index")]
    first, _, index = (np.asarray(Image.open(io.BytesIO(content))) for content in by_path.values())
    assert np.array_equal(first, CAT * np.uint8(255))
    assert np.array_equal(index, np.where(inner, 3, np.where(CAT, 1, 0)))


def test_the_drawn_picture_has_the_full_size_and_the_wanted_drawing():
    large = Exported(
        "big.png", Image.new("RGB", (3000, 40), "white"), Result("detect", "m", "", "", "", 3000, 40, None, BOTH[2:])
    )
    with_boxes, without = (
        Image.open(io.BytesIO(exports.drawn_png(large, drawing))) for drawing in (None, Drawing(boxes=False))
    )

    assert with_boxes.size == (3000, 40)
    assert with_boxes.tobytes() != without.tobytes()


def test_a_table_has_a_row_for_each_thing_and_one_for_a_picture_without():
    caption = exported("b.png", (), task="describe", text="un café", translation=Translation("es", "=1+1"))
    rows = list(csv.DictReader(io.StringIO(csv_text([exported("a.png"), caption]))))

    assert [(row["picture"], row["object"], row["label"]) for row in rows] == [
        ("a.png", "1", "cat"),
        ("a.png", "2", "ring"),
        ("a.png", "3", "Cat"),
        ("b.png", "", ""),
    ]
    assert (rows[0]["score"], rows[0]["x_max"], rows[0]["mask_pixels"]) == ("0.875", "50", str(CAT.sum()))
    assert rows[3]["text"] == "un café"
    assert rows[3]["translation"] == "'=1+1"  # a spreadsheet would reckon it out


def test_one_zip_holds_every_format_and_opens(tmp_path):
    target = io.BytesIO()
    pack(files([exported("calle ñ.jpg"), exported("calle ñ.png")]), target)

    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        result = json.loads(archive.read("json/calle ñ.json"))
    assert len(names) == len(set(names))
    assert {"drawn/calle ñ-2.png", "coco.json", "yolo/data.yaml", "yolo/segments/calle ñ-2.txt", "results.csv"} <= set(
        names
    )
    assert result == json.loads(json.dumps(exported().result.to_json()))


def test_a_zip_of_descriptions_has_no_empty_label_files():
    target = io.BytesIO()
    pack(files([exported(detections=(), task="describe")]), target)

    assert zipfile.ZipFile(target).namelist() == ["json/street.json", "results.csv"]


def test_a_picture_in_which_nothing_was_found_is_one_without_any_of_the_classes():
    by_path = {file.path: file.content for file in files([exported(), exported("none.jpg", (), task="detect")])}

    assert by_path["yolo/boxes/none.txt"] == by_path["yolo/segments/none.txt"] == b""
    assert "drawn/none.png" in by_path


def test_the_same_results_give_the_same_bytes():
    one, other = io.BytesIO(), io.BytesIO()
    pack(files([exported(), exported()]), one)
    pack(files([exported(), exported()]), other)

    assert one.getvalue() == other.getvalue()
    assert len({entry.date_time for entry in zipfile.ZipFile(one).infolist()}) == 1  # and not that of the clock
    assert zipfile.ZipFile(one).infolist()[0].date_time[0] == 1980


def test_a_format_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match=r"'voc'.*coco"):
        list(files([exported()], ["voc"]))


def test_a_result_of_another_picture_is_refused():
    with pytest.raises(ValueError, match="does not belong"):
        Exported("a.png", Image.new("RGB", (8, 8)), exported().result)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        pytest.param("street.jpg", "street.jpg", id="plain"),
        pytest.param("../../etc/passwd", "passwd", id="upwards"),
        pytest.param("..\\..\\boot.ini", "boot.ini", id="upwards on Windows"),
        pytest.param("/absolute.png", "absolute.png", id="absolute"),
        pytest.param("C:\\x\\cat.png", "cat.png", id="a drive"),
        pytest.param("..", "picture", id="only dots"),
        pytest.param("", "picture", id="empty"),
        pytest.param("///", "picture", id="only slashes"),
        pytest.param("\0\x1b[31m", "__[31m", id="control characters"),
        pytest.param("a\u202egnp.exe", "a_gnp.exe", id="turned around"),
        pytest.param("猫 на улице ñ.png", "猫 на улице ñ.png", id="other scripts"),
        pytest.param("n\u0303.png", "ñ.png", id="composed"),
        pytest.param("con.png", "_con.png", id="a device of Windows"),
        pytest.param(".hidden", "hidden", id="hidden"),
        pytest.param("what? <a>:b|c*.png", "what_ _a__b_c_.png", id="signs that Windows refuses"),
        pytest.param("cat\udcff.png", "cat_.png", id="bytes that are no text"),
        pytest.param("x" * 500 + ".jpeg", "x" * 120 + ".jpeg", id="endless"),
        pytest.param("猫" * 500, "猫" * 40, id="endless in bytes"),
        pytest.param("con." + "x" * 500 + ".png", "_con." + "x" * 115 + ".png", id="an endless device of Windows"),
        pytest.param("cat." + "x" * 500, "cat_" + "x" * 116, id="endless suffix"),
        pytest.param("v1.2 of the cat", "v1_2 of the cat", id="a dot and no suffix"),
    ],
)
def test_a_name_becomes_that_of_one_file_in_its_folder(name, safe):
    assert safe_name(name) == safe


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_name_leaves_its_folder_and_no_two_meet(names):
    unique = unique_names(names)

    for name in unique:
        assert PurePosixPath(name).name == PureWindowsPath(name).name == name
        assert name not in ("", ".", "..")
    assert len({name.rpartition(".")[0].casefold() or name.casefold() for name in unique}) == len(names)


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        pytest.param(["a.png", "a.png"], ["a.png", "a-2.png"], id="the same"),
        pytest.param(["a.png", "a.jpg"], ["a.png", "a-2.jpg"], id="the same but for the suffix"),
        pytest.param(["A.png", "a.png"], ["A.png", "a-2.png"], id="capital letters"),
        pytest.param(["a.png", "a-2.png", "a.png"], ["a.png", "a-2.png", "a-3.png"], id="a number already there"),
        pytest.param(["x/a.png", "y/a.png"], ["a.png", "a-2.png"], id="in different folders"),
        pytest.param(
            ["猫" * 50 + ".png"] * 2, ["猫" * 40 + ".png", "猫" * 39 + "-2.png"], id="the same as far as they are kept"
        ),
    ],
)
def test_names_that_would_meet_are_told_apart(names, unique):
    assert unique_names(names) == unique


@settings(deadline=None)
@given(st.lists(st.text("aA.- 2猫", max_size=5).map(lambda part: part * 60), max_size=4))
def test_names_told_apart_stay_so_however_long_they_are(names):
    unique = unique_names(names)

    assert unique_names(unique) == unique
    assert max((len(name.encode()) for name in unique), default=0) <= 126
