"""Any bytes and any string, made from what real ones are made of: a result or a plain refusal, and nothing else."""

import contextlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference.errors import InvalidPicture
from inference.images import check_picture, open_picture
from inference.metadata import without_metadata
from inference.parsing import MAX_DETECTIONS, parse, strip_tokens
from tests.hostile.pictures import FORMATS, chunk, encoded, exif, noise, with_exif

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow warns of broken metadata

WHOLE = [
    *(encoded(noise(), form) for form in FORMATS),
    encoded(noise("P"), "PNG", transparency=3),
    encoded(noise("CMYK"), "JPEG"),
    encoded(noise(), "JPEG", progressive=True),
    encoded(noise("RGBA"), "TIFF", compression="tiff_lzw"),
    encoded(noise("RGBA"), "WEBP", lossless=True),
    encoded(noise(), "GIF", save_all=True, append_images=[noise("L").convert("RGB")]),
    with_exif(exif(struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), 1) + bytes(4)),
]


def opened(content: bytes) -> Image.Image | None:
    """The picture, or None where it is refused in a sentence."""
    try:
        picture = open_picture(content)
    except InvalidPicture as error:
        picture, message = None, str(error)
    assert picture is None or picture.mode == "RGB"
    assert picture is not None or message.endswith(".")
    return picture


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=20), st.floats(0, 1))
def test_a_picture_with_wrong_bytes(whole: bytes, wrong: list[tuple[float, int]], kept: float) -> None:
    content = bytearray(whole)
    for place, value in wrong:
        content[int(place * (len(content) - 1))] = value
    opened(bytes(content[: max(1, int(kept * len(content)))]) if kept > 0.2 else bytes(content))


@given(st.sampled_from(WHOLE), st.sampled_from(WHOLE), st.floats(0, 1), st.floats(0, 1), st.binary(max_size=40))
def test_parts_of_two_pictures_put_together(
    one: bytes, other: bytes, first: float, second: float, between: bytes
) -> None:
    opened(one[: int(first * len(one))] + between + other[int(second * len(other)) :])


@given(st.sampled_from(WHOLE), st.integers(8, 120), st.sampled_from("BHI"), st.integers(0, 2**32 - 1), st.booleans())
def test_a_number_in_a_header_that_is_another(whole: bytes, place: int, kind: str, value: int, big: bool) -> None:
    number = struct.pack(f"{'>' if big else '<'}{kind}", value % (1 << 8 * struct.calcsize(kind)))
    opened(whole[:place] + number + whole[place + len(number) :])


KINDS = st.sampled_from(
    [
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"iCCP",
        b"zTXt",
        b"iTXt",
        b"eXIf",
        b"acTL",
        b"fcTL",
        b"fdAT",
        b"gAMA",
    ]
)
CHUNK = st.tuples(KINDS, st.one_of(st.binary(max_size=40), st.binary(max_size=20).map(zlib.compress)))


@given(
    st.tuples(*[st.integers(0, 40)] * 2, st.sampled_from([1, 2, 4, 8, 16, 3]), st.integers(0, 6), st.integers(0, 2)),
    st.lists(CHUNK, max_size=8),
)
def test_png_chunks_in_any_order(header: tuple[int, ...], chunks: list[tuple[bytes, bytes]]) -> None:
    width, height, depth, colour, interlace = header
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)), *chunks]
    opened(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks))


ENTRY = st.tuples(
    st.one_of(
        st.sampled_from([256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 320, 322, 323, 324, 338, 339, 34665]),
        st.integers(0, 65_535),
    ),
    st.integers(0, 20),
    st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)),
    st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1)),
)


@given(st.lists(ENTRY, max_size=14), st.binary(max_size=200), st.booleans())
def test_tiff_entries_of_any_kind(entries: list[tuple[int, ...]], data: bytes, big: bool) -> None:
    order = ">" if big else "<"
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(
        struct.pack(f"{order}HHII", *entry) for entry in entries
    )
    blob = (b"MM\0*" if big else b"II*\0") + struct.pack(f"{order}I", 8) + directory + bytes(4) + data
    opened(blob)
    picture = opened(with_exif(b"Exif\0\0" + blob))  # the same as metadata: they never spoil a picture
    assert picture is not None
    assert sorted(picture.size) == [32, 48]


@given(
    st.one_of(st.binary(max_size=300), st.sampled_from(WHOLE)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x18ftypavif"]),
)
def test_taking_metadata_out_of_anything(content: bytes, wrong: list[tuple[float, int]], start: bytes) -> None:
    changed = bytearray(start + content)
    for place, value in wrong:
        if changed:
            changed[int(place * (len(changed) - 1))] = value
    before = bytes(changed)
    after = without_metadata(before)
    assert without_metadata(after) == after
    assert len(after) <= len(before) + 64
    picture = opened(before)
    if picture is not None and not wrong:
        cleaned = opened(after)
        assert cleaned is not None
        assert cleaned.tobytes() == picture.tobytes()


MODES = st.sampled_from(
    ["1", "L", "LA", "P", "RGB", "RGBA", "RGBa", "La", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
)


@given(MODES, st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_an_open_picture_of_any_mode_and_size(mode: str, width: int, height: int, seed: int) -> None:
    picture = Image.new(mode, (width, height))
    if width and height:
        count = len(picture.tobytes())
        data = np.random.default_rng(seed).bytes(count)
        picture = Image.frombytes(mode, (width, height), data)
    with contextlib.suppress(InvalidPicture):
        checked = check_picture(picture)
        assert (checked.mode, checked.size) == ("RGB", (width, height))


LOC = st.integers(0, 1100).map(lambda value: f"<loc{value:04d}>")
SEG = st.integers(0, 140).map(lambda value: f"<seg{value:03d}>")
LABEL = st.one_of(st.sampled_from([" cat", " the dog's bowl", "<b>", " 猫", "a;b", "", "\n"]), st.text(max_size=8))
OBJECT = st.tuples(
    st.lists(LOC, min_size=3, max_size=5), st.one_of(st.just([]), st.lists(SEG, min_size=14, max_size=17)), LABEL
).map(lambda parts: "".join(parts[0]) + "".join(parts[1]) + parts[2])
OTHER = st.sampled_from(
    ["<eos>", "<bos>", "<pad>", "<loc", "<seg12", "detect cat\n", "<unused4>", " ; ", "\n", "<loc00001>"]
)
OUTPUT = st.lists(st.one_of(OBJECT, OBJECT, OTHER, LOC, SEG, st.text(max_size=6)), max_size=12).map(" ; ".join)


@given(OUTPUT, st.integers(1, 20_000), st.integers(1, 20_000), st.one_of(st.text(max_size=12), OUTPUT))
def test_any_output_of_objects_is_read(output: str, width: int, height: int, prompt: str) -> None:
    parsed = parse(output, width, height, prompt=prompt)
    assert len(parsed.detections) <= MAX_DETECTIONS
    assert len(set(parsed.problems)) == len(parsed.problems)
    for detection in parsed.detections:
        left, top, right, bottom = detection.box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert detection.codes is None or (len(detection.codes) == 16 and set(detection.codes) <= set(range(128)))
        first, end = detection.span
        assert 0 <= first < end <= len(output)
        assert output[first:].startswith("<loc")
    for problem in parsed.problems:
        assert problem.endswith(".")


@given(OUTPUT, st.integers(0, 400))
def test_what_is_written_so_far_can_be_read_at_any_moment(output: str, length: int) -> None:
    written = output[:length]
    shown = strip_tokens(written)
    assert "<loc0" not in shown.replace("<loc00001>", "")
    parse(written, 640, 480)


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None), max_size=40))
def test_any_string_is_read(output: str, prompt: str) -> None:
    parsed = parse(output, 640, 480, prompt=prompt)
    assert not parsed.detections or "<loc" in output
