"""Results with their pictures as files that other tools read: PNG, JSON, COCO, YOLO, CSV, and a zip of them all.

Knows the file formats and how files are named safely; knows nothing of models, of the page or of where files are kept.
The same results always give the same bytes.
"""

import csv
import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from inference import overlay
from inference.outlines import outline
from inference.tasks import TASKS
from inference.types import Box, Detection, Result, encode_rle

UNNAMED = "object"
"""What a thing is called that neither the model nor the person named."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_MAX_STEM_BYTES = 120  # file systems allow 255 for a name, and more is put before and behind this
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}\Z")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)", re.IGNORECASE)  # names of devices on Windows
_NOT_IN_NAMES = frozenset('<>:"/\\|?*')
_COLUMNS = (
    "picture", "width", "height", "task", "model", "prompt", "text", "translation",
    "object", "label", "translated_label", "score", "x_min", "y_min", "x_max", "y_max", "mask_pixels",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Exported:
    """A result that is to be written, with the picture that it is about.

    Attributes:
        name: What the person calls the picture, as a rule the name of its file; any text.
        image: The upright picture.
        result: The answer, with the detections that are to be exported.

    Raises:
        ValueError: The result is about a picture of another size.
    """

    name: str
    image: Image.Image
    result: Result

    def __post_init__(self) -> None:
        size = (self.result.width, self.result.height)
        if self.image.size != size:
            raise ValueError(f"a result about {size} does not belong to a picture of {self.image.size}")


@dataclass(frozen=True, slots=True)
class Drawing:
    """How detections are drawn; see `inference.overlay.draw`."""

    opacity: float = 0.45
    boxes: bool = True
    masks: bool = True
    language: str = "en"
    colours: Mapping[str, overlay.Colour] | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file that is not written yet.

    Attributes:
        path: Where it belongs, with "/" between folders; relative, and safe on every usual system.
        content: Its bytes.
    """

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class _Named:
    """One of several results, by a name that none of the others has.

    Attributes:
        name: The name of the picture's file.
        stem: The same without its suffix; unique too, since labels are matched to pictures by it.
    """

    name: str
    stem: str
    image: Image.Image
    result: Result


def has_places(result: Result) -> bool:
    """Whether a result is about places in its picture, so that a drawing or a file of labels says something.

    That nothing was found says something too, where things were asked for.
    """
    task = TASKS.get(result.task)
    return bool(result.detections) or (task is not None and task.text == "objects")


def drawn_png(item: Exported, drawing: Drawing | None = None) -> bytes:
    """The picture with its detections, at full resolution.

    Args:
        item: A result.
        drawing: How to draw it.

    Raises:
        ValueError: A mask has another size than the picture.
    """
    drawing = drawing or Drawing()
    drawn = overlay.draw(
        item.image,
        item.result.detections,
        opacity=drawing.opacity,
        boxes=drawing.boxes,
        masks=drawing.masks,
        language=drawing.language,
        colours=drawing.colours,
    )
    return _png(drawn)


def json_text(result: Result) -> str:
    """The result as it comes from the API, as indented JSON."""
    return json.dumps(result.to_json(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def mask_pngs(result: Result, *, colours: Mapping[str, overlay.Colour] | None = None) -> tuple[File, ...]:
    """The masks as greyscale PNGs of the picture's size, and one PNG that holds them all.

    Each `01-cat.png` has 255 where the object is and 0 elsewhere; its number is the object's place in the answer,
    from 1. In `index.png`, a palette picture, the value of a pixel is the number of the object there, 0 for none; where
    objects overlap, it is the smaller one's.

    Args:
        result: With or without masks.
        colours: Those of the palette, if not those of the result's own labels; see `inference.overlay.draw`.

    Returns:
        The files, none if no detection has a mask.
    """
    masked = [
        (number, thing.label, thing.mask)
        for number, thing in enumerate(result.detections, start=1)
        if thing.mask is not None
    ]
    if not masked:
        return ()
    files = []
    for number, label, mask in masked:
        # A label is no path: what stands before a slash in it belongs to it.
        name = safe_name(re.sub(r"[/\\]", "_", label), otherwise=UNNAMED)
        files.append(File(f"{number:02d}-{name}.png", _png(Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))))
    index = np.zeros((result.height, result.width), dtype=np.uint8)
    for number, _, mask in sorted(masked, key=lambda entry: -int(np.count_nonzero(entry[2]))):
        index[mask] = number  # the parser keeps 100 objects at most, so that a byte is enough
    picture = Image.fromarray(index)
    picture.putpalette(_palette(result.detections, colours))
    files.append(File("index.png", _png(picture)))
    return tuple(files)


def coco(items: Sequence[Exported]) -> dict[str, Any]:
    """Detections of one or more pictures as a COCO data set, with the categories shared and all ids unique.

    A mask is compressed run lengths, its area counts its pixels. A detection without a mask gets the rectangle of its
    box as its polygon: `pycocotools.COCO.loadRes` does the same to results that are only boxes, whereas an annotation
    without a segmentation makes `COCOeval` and `annToMask` fail. Scores are an additional field, so that
    `loadRes(dataset["annotations"])` reads the file as results.

    Returns:
        Plain JSON values.
    """
    named = _named(items)
    categories = _Categories.of(named)
    annotations: list[dict[str, Any]] = []
    for image_id, item in enumerate(named, start=1):
        for thing in item.result.detections:
            left, top, right, bottom = _inside(thing.box, item.result)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": categories.index(thing.label) + 1,
                "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
                "area": round((right - left) * (bottom - top), 2),
                "segmentation": [[round(value, 2) for point in _corners(thing, item.result) for value in point]],
                "iscrowd": 0,
            }
            if thing.mask is not None:
                annotation |= {
                    "area": float(np.count_nonzero(thing.mask)),
                    "segmentation": encode_rle(thing.mask),
                }
            if thing.score is not None:
                annotation["score"] = round(thing.score, 4)
            annotations.append(annotation)
    return {
        "info": {"description": "Detections by PaliGemma 2", "version": "1.0"},
        "licenses": [],
        "images": [
            {"id": number, "file_name": item.name, "width": item.result.width, "height": item.result.height}
            for number, item in enumerate(named, start=1)
        ],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(categories.names, start=1)
        ],
    }


def yolo(items: Sequence[Exported]) -> tuple[File, ...]:
    """Detections of one or more pictures as YOLO labels.

    - `boxes/NAME.txt`: `class cx cy w h` a line, as parts of the picture's width and height.
    - `segments/NAME.txt`: `class x1 y1 x2 y2 …` a line, if any detection has a mask. One polygon an object, as the
      format wants: further parts and holes are joined to it by seams without width. A detection without a mask is
      the rectangle of its box, since a reader takes a file to hold either boxes or polygons.
    - `classes.txt`, one name a line, and `data.yaml`, which names the classes to a trainer.

    A picture in which nothing was found has an empty file: to a trainer it is one without any of the classes.
    """
    named = _named(items)
    categories = _Categories.of(named)
    segmented = any(thing.mask is not None for item in named for thing in item.result.detections)
    files = []
    for item in named:
        things = [(categories.index(thing.label), thing) for thing in item.result.detections]
        boxes = [_yolo_line(number, [_centred(thing.box, item.result)]) for number, thing in things]
        files.append(_text_file(f"boxes/{item.stem}.txt", "".join(boxes)))
        if segmented:
            segments = [_yolo_line(number, _polygon(thing, item.result)) for number, thing in things]
            files.append(_text_file(f"segments/{item.stem}.txt", "".join(segments)))
    files.append(_text_file("classes.txt", "".join(f"{name}\n" for name in categories.names)))
    files.append(_text_file("data.yaml", _data_yaml(categories.names)))
    return tuple(files)


def csv_text(items: Sequence[Exported]) -> str:
    """One row a detection, and one for a picture in which there is none.

    Boxes are in pixels of the upright picture. A text that a spreadsheet would take for a formula has an apostrophe
    before it, since pictures and what is written in them come from anywhere.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\r\n")  # RFC 4180
    writer.writerow(_COLUMNS)
    for item in _named(items):
        result = item.result
        about: list[object] = [item.name, result.width, result.height, result.task, result.model, result.prompt]
        about += [result.text, result.translation.text if result.translation else ""]
        rows: list[list[object]] = [
            [
                number,
                thing.label,
                thing.translated_label or "",
                "" if thing.score is None else round(thing.score, 4),
                *(round(edge, 2) for edge in thing.box),
                "" if thing.mask is None else np.count_nonzero(thing.mask),
            ]
            for number, thing in enumerate(result.detections, start=1)
        ]
        writer.writerows(
            [_cell(value) for value in about + row] for row in rows or [[""] * (len(_COLUMNS) - len(about))]
        )
    return table.getvalue()


def files(
    items: Sequence[Exported], formats: Iterable[str] | None = None, *, drawing: Drawing | None = None
) -> Iterator[File]:
    """The files of one or more results, made one after another.

    Args:
        items: Results with their pictures; names that are the same are told apart by numbers.
        formats: Keys of `FORMATS`; all if not given. A format that has nothing to say about these results gives no
            file: there is no COCO of a description.
        drawing: How detections are drawn.

    Raises:
        ValueError: A format is not known.
    """
    formats = tuple(FORMATS) if formats is None else tuple(dict.fromkeys(formats))
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"there is no format {unknown[0]!r}; there is {', '.join(FORMATS)}")
    for name in formats:
        yield from FORMATS[name](items, drawing or Drawing())


def pack(contents: Iterable[File], target: BinaryIO) -> None:
    """Writes files into one zip.

    Args:
        contents: With paths that differ.
        target: Where the zip is written; it is not closed.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for file in contents:
            entry = zipfile.ZipInfo(file.path, date_time=_EPOCH)
            entry.create_system = 3  # the mode below is that of a Unix file, whatever system writes the zip
            entry.external_attr = 0o644 << 16
            # A PNG is compressed already.
            entry.compress_type = zipfile.ZIP_STORED if file.path.endswith(".png") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.content)


def safe_name(name: str, *, otherwise: str = "picture", room: int = 0) -> str:
    """A name that can be that of a file in any folder and on any usual system; never empty.

    What comes before the last slash or backslash is dropped, then whatever is no letter, digit, mark or usual sign
    becomes "_". Letters of every script stay.

    Args:
        name: Any text.
        otherwise: What stands for a name of which nothing is left.
        room: Bytes that its stem leaves for what is put behind it, so that this is not cut off later.
    """
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    characters = (
        "_" if character in _NOT_IN_NAMES or unicodedata.category(character)[0] == "C" else character
        for character in name
    )
    # Windows drops dots and spaces at the end, a dot at the beginning hides the file.
    name = re.sub(r"\s+", " ", "".join(characters)).strip(". ")
    if not _SUFFIX.search(name):
        name = name.replace(".", "_")  # else some tools would take the rest for a suffix and some would not
    stem, suffix = _split(name)
    name = _cut(stem, room) + suffix
    if not name.strip("_. "):
        return otherwise
    return _cut(f"_{stem}", room) + suffix if _RESERVED.match(name) else name


def unique_names(names: Iterable[str]) -> list[str]:
    """Safe names whose stems differ, also where capital letters make no difference.

    Args:
        names: Any texts.

    Returns:
        A name for each, in order: its own if no earlier one has that stem, else one with a number.
    """
    taken: set[str] = set()
    unique = []
    for name in names:
        stem, suffix = _split(safe_name(name))
        chosen, number = stem, 1
        while chosen.casefold() in taken:
            number += 1
            ending = f"-{number}"
            chosen = _cut(stem, len(ending)) + ending
        taken.add(chosen.casefold())
        unique.append(chosen + suffix)
    return unique


def _cut(stem: str, room: int) -> str:
    """As much of a stem as may be, with some bytes left."""
    return stem.encode()[: _MAX_STEM_BYTES - room].decode(errors="ignore").rstrip(". ")


def _split(name: str) -> tuple[str, str]:
    """The stem and the suffix of a safe name."""
    found = _SUFFIX.search(name)
    return (name[: found.start()], found[0]) if found and found.start() else (name, "")


def _named(items: Sequence[Exported]) -> list[_Named]:
    names = unique_names(item.name for item in items)
    return [
        _Named(name=name, stem=_split(name)[0], image=item.image, result=item.result)
        for name, item in zip(names, items, strict=True)
    ]


class _Categories:
    """The labels of several results, without repeats, in alphabetical order; capital letters make no difference.

    Args:
        names: In order, each with its key.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = tuple(names.values())
        self._places = {key: place for place, key in enumerate(names)}

    @classmethod
    def of(cls, items: Iterable[_Named]) -> "_Categories":
        names: dict[str, str] = {}
        for item in items:
            for thing in item.result.detections:
                names.setdefault(cls._key(thing.label), " ".join(thing.label.split()) or UNNAMED)
        return cls(dict(sorted(names.items())))

    def index(self, label: str) -> int:
        """The place of a label, from 0."""
        return self._places[self._key(label)]

    @staticmethod
    def _key(label: str) -> str:
        return " ".join(label.casefold().split()) or UNNAMED


def _drawn_files(items: Sequence[Exported], drawing: Drawing) -> Iterator[File]:
    for item, named in zip(items, _named(items), strict=True):
        if has_places(item.result):
            yield File(f"drawn/{named.stem}.png", drawn_png(item, drawing))


def _mask_files(items: Sequence[Exported], drawing: Drawing) -> Iterator[File]:
    for item in _named(items):
        for file in mask_pngs(item.result, colours=drawing.colours):
            yield File(f"masks/{item.stem}/{file.path}", file.content)


def _json_files(items: Sequence[Exported], _: Drawing) -> Iterator[File]:
    for item in _named(items):
        yield _text_file(f"json/{item.stem}.json", json_text(item.result))


def _coco_files(items: Sequence[Exported], _: Drawing) -> Iterator[File]:
    if any(has_places(item.result) for item in items):
        yield _text_file("coco.json", json.dumps(coco(items), ensure_ascii=False, allow_nan=False) + "\n")


def _yolo_files(items: Sequence[Exported], _: Drawing) -> Iterator[File]:
    if any(has_places(item.result) for item in items):
        for file in yolo(items):
            yield File(f"yolo/{file.path}", file.content)


def _csv_files(items: Sequence[Exported], _: Drawing) -> Iterator[File]:
    # Without this mark, Excel takes UTF-8 for the system's own encoding and spoils every accent.
    yield File("results.csv", csv_text(items).encode("utf-8-sig"))


FORMATS: Mapping[str, Callable[[Sequence[Exported], Drawing], Iterator[File]]] = MappingProxyType(
    {
        "drawn": _drawn_files,
        "masks": _mask_files,
        "json": _json_files,
        "coco": _coco_files,
        "yolo": _yolo_files,
        "csv": _csv_files,
    }
)
"""Every format by its name: makes the files of some results."""


def _text_file(path: str, text: str) -> File:
    return File(path, text.encode())


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Full compression of a large picture takes seconds and saves a tenth of the file.
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _palette(things: Sequence[Detection], colours: Mapping[str, overlay.Colour] | None) -> list[int]:
    """Red, green and blue of each value of the index picture: black for none, then the objects' own colours."""
    colours = overlay.colours_of(thing.label for thing in things) if colours is None else colours
    return [0, 0, 0] + [channel for thing in things for channel in colours[thing.label]]


def _inside(box: Box, result: Result) -> Box:
    """The part of a box that lies in the picture."""
    left, top, right, bottom = box
    return (
        min(max(left, 0.0), float(result.width)),
        min(max(top, 0.0), float(result.height)),
        min(max(right, 0.0), float(result.width)),
        min(max(bottom, 0.0), float(result.height)),
    )


def _corners(thing: Detection, result: Result) -> list[tuple[float, float]]:
    left, top, right, bottom = _inside(thing.box, result)
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _centred(box: Box, result: Result) -> tuple[float, ...]:
    """Centre, width and height of a box as parts of the picture's sides."""
    left, top, right, bottom = _inside(box, result)
    across, down = 2 * result.width, 2 * result.height
    return (left + right) / across, (top + bottom) / down, 2 * (right - left) / across, 2 * (bottom - top) / down


def _polygon(thing: Detection, result: Result) -> list[tuple[float, ...]]:
    """The outline of a thing as parts of the picture's sides; its box where it has no mask, or an empty one."""
    points = [] if thing.mask is None else outline(thing.mask)
    return [(x / result.width, y / result.height) for x, y in points or _corners(thing, result)]


def _yolo_line(number: int, values: Iterable[Iterable[float]]) -> str:
    return " ".join([str(number), *(f"{value:.6f}" for pair in values for value in pair)]) + "\n"


def _data_yaml(names: Sequence[str]) -> str:
    # A JSON string is a YAML string in double quotes.
    classes = "".join(f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(names))
    return (
        "# Put the pictures, turned upright, into images/ and the files of boxes/ or of segments/ into labels/.\n"
        "path: .\ntrain: images\nval: images\n" + (f"names:\n{classes}" if classes else "names: {}\n")
    )


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
