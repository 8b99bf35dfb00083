"""What an uploaded file becomes: an upright RGB picture, or one plain sentence."""

import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from inference.errors import Busy, InvalidPicture
from inference.images import Limits, allowed_formats, check_file, check_picture, open_picture
from tests.hostile import pictures
from tests.hostile.pictures import encoded, noise

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"] + (["AVIF"] if features.check("avif") else [])
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours well inside the upper left, upper right, lower left and lower right quarters."""
    width, height = image.size
    return [image.getpixel((x, y)) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]


def quarters(width: int = 64, height: int = 32) -> Image.Image:
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def close(found, expected, tolerance: int = 12) -> bool:
    return bool((np.abs(np.asarray(found, dtype=int) - np.asarray(expected, dtype=int)) <= tolerance).all())


def png(width: int, height: int) -> bytes:
    """A PNG that promises pixels and holds none."""
    return pictures.png(width, height, pixels=zlib.compress(b""))


def refusal(source, limits: Limits | None = None) -> str:
    with pytest.raises(InvalidPicture) as error:
        open_picture(source, limits)
    message = str(error.value)
    assert message.endswith(".")
    assert ". " not in message, "one sentence"
    assert any(character.isdigit() for character in message), "says how much is allowed"
    return message


@pytest.mark.parametrize("form", FORMATS)
def test_every_allowed_format_opens_with_its_colours(form):
    image = open_picture(encoded(quarters(), form))
    assert (image.mode, image.size) == ("RGB", (64, 32))
    assert close(corners(image), [RED, GREEN, BLUE, WHITE], tolerance=40)


def test_the_name_of_a_file_does_not_matter(tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(quarters(), "WEBP", lossless=True))
    assert open_picture(path).tobytes() == open_picture(str(path)).tobytes() == quarters().tobytes()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        pytest.param(1, None, id="upright"),
        pytest.param(2, Image.Transpose.FLIP_LEFT_RIGHT, id="mirrored"),
        pytest.param(3, Image.Transpose.ROTATE_180, id="upside down"),
        pytest.param(4, Image.Transpose.FLIP_TOP_BOTTOM, id="mirrored upside down"),
        pytest.param(5, Image.Transpose.TRANSPOSE, id="transposed"),
        pytest.param(6, Image.Transpose.ROTATE_90, id="phone held upright"),
        pytest.param(7, Image.Transpose.TRANSVERSE, id="transversed"),
        pytest.param(8, Image.Transpose.ROTATE_270, id="phone held upright the other way"),
    ],
)
def test_pictures_are_turned_upright(form, orientation, turn):
    stored = quarters() if turn is None else quarters().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_picture(encoded(stored, form, exif=exif))
    assert image.size == (64, 32)
    assert close(corners(image), [RED, GREEN, BLUE, WHITE], tolerance=40)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_metadata_do_not_spoil_a_picture(exif):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert open_picture(encoded(quarters(), "JPEG", exif=exif)).size == (64, 32)


def test_no_metadata_are_left():
    exif = Image.Exif()
    exif[0x010E] = "my home"
    image = open_picture(encoded(quarters(), "JPEG", exif=exif, comment="secret", icc_profile=b"profile", dpi=(72, 72)))
    assert image.info == {}
    assert not dict(image.getexif())
    again = encoded(image, "JPEG")
    for trace in (b"my home", b"secret", b"profile", b"Exif"):
        assert trace not in again


def grey_ramp(mode: str, dtype: str, most: float) -> Image.Image:
    values = np.tile(np.linspace(0, most, 256), (4, 1)).astype(dtype)
    return Image.fromarray(values) if mode != "I;16B" else Image.frombytes("I;16B", (256, 4), values.tobytes())


def transparent(mode: str) -> Image.Image:
    """The left half red (or grey), the right half transparent."""
    image = Image.new("RGBA", (32, 16), (*RED, 255))
    image.paste((0, 255, 0, 0), (16, 0, 32, 16))
    return image.convert(mode)


def palette_with_transparency() -> bytes:
    image = Image.new("P", (32, 16), 0)
    image.putpalette([*RED, *GREEN, *BLUE])
    image.paste(1, (16, 0, 32, 16))
    return encoded(image, "PNG", transparency=1)


def colour_key(mode: str, ground, key) -> bytes:
    image = Image.new(mode, (32, 16), ground)
    image.paste(key, (16, 0, 32, 16))
    return encoded(image, "PNG", transparency=key)


def grey(value: int) -> tuple[int, int, int]:
    return (value, value, value)


@pytest.mark.parametrize(
    ("content", "left", "right"),
    [
        pytest.param(encoded(transparent("RGBA")), RED, WHITE, id="RGBA"),
        pytest.param(encoded(transparent("RGBA"), "WEBP", lossless=True), RED, WHITE, id="RGBA in WebP"),
        pytest.param(encoded(transparent("RGBA"), "TIFF"), RED, WHITE, id="RGBA in TIFF"),
        pytest.param(encoded(transparent("LA")), grey(76), WHITE, id="LA"),
        pytest.param(palette_with_transparency(), RED, WHITE, id="palette with a transparent colour"),
        pytest.param(colour_key("RGB", RED, GREEN), RED, WHITE, id="RGB with a transparent colour"),
        pytest.param(colour_key("L", 50, 200), grey(50), WHITE, id="grey with a transparent value"),
        pytest.param(encoded(transparent("RGBA"), "GIF"), RED, WHITE, id="GIF with transparency"),
    ],
)
def test_transparency_becomes_white(content, left, right):
    image = open_picture(content)
    assert close(image.getpixel((4, 8)), left)
    assert close(image.getpixel((28, 8)), right)


def test_half_transparent_pixels_are_mixed_with_white():
    image = open_picture(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128))))
    assert close(image.getpixel((4, 4)), grey(127), tolerance=1)


@pytest.mark.parametrize(
    ("image", "form"),
    [
        pytest.param(quarters().convert("CMYK"), "JPEG", id="CMYK JPEG as Adobe writes it, inverted"),
        pytest.param(quarters().convert("CMYK"), "TIFF", id="CMYK TIFF"),
        pytest.param(quarters().quantize(8), "PNG", id="palette PNG"),
        pytest.param(quarters().quantize(8), "BMP", id="palette BMP"),
    ],
)
def test_other_colour_modes_keep_their_colours(image, form):
    assert close(corners(open_picture(encoded(image, form))), [RED, GREEN, BLUE, WHITE], tolerance=40)


def test_black_and_white_and_grey_pictures_open():
    half = Image.new("L", (32, 16), 0)
    half.paste(255, (16, 0, 32, 16))
    for image in (half, half.convert("1")):
        opened = open_picture(encoded(image, "PNG"))
        assert [opened.getpixel((4, 8)), opened.getpixel((28, 8))] == [grey(0), WHITE]


@pytest.mark.parametrize(
    ("image", "form"),
    [
        pytest.param(grey_ramp("I;16", "<u2", 65_535), "PNG", id="16-bit PNG"),
        pytest.param(grey_ramp("I;16", "<u2", 65_535), "TIFF", id="16-bit TIFF"),
        pytest.param(grey_ramp("I;16B", ">u2", 65_535), "TIFF", id="16-bit big-endian TIFF"),
        pytest.param(grey_ramp("I", "<i4", 65_535), "TIFF", id="32-bit TIFF with 16-bit values"),
        pytest.param(grey_ramp("I", "<i4", 2_000_000_000), "TIFF", id="32-bit TIFF"),
        pytest.param(grey_ramp("I", "<i4", 255), "TIFF", id="32-bit TIFF with 8-bit values"),
        pytest.param(grey_ramp("F", "<f4", 1), "TIFF", id="float TIFF from 0 to 1"),
        pytest.param(grey_ramp("F", "<f4", 255), "TIFF", id="float TIFF from 0 to 255"),
        pytest.param(grey_ramp("F", "<f4", 3e38), "TIFF", id="float TIFF of huge values"),
    ],
)
def test_deep_grey_is_scaled_to_8_bits_and_not_clipped(image, form):
    row = np.asarray(open_picture(encoded(image, form)))[0, :, 0].astype(int)
    assert np.abs(row - np.arange(256)).max() <= 1


def test_16_bit_grey_keeps_its_darkness():
    image = Image.fromarray(np.full((4, 4), 257 * 40, dtype=np.uint16))
    assert check_picture(image).getpixel((0, 0)) == grey(40)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full((4, 4), np.nan, dtype=np.float32), id="no numbers"),
        pytest.param(np.array([[-np.inf, np.inf], [0, 1]], dtype=np.float32), id="infinite"),
        pytest.param(np.full((4, 4), -7, dtype=np.float32), id="one negative value"),
        pytest.param(np.array([[-3e38, 3e38]], dtype=np.float32), id="the whole range of floats"),
        pytest.param(np.array([[-(2**31), 2**31 - 1]], dtype=np.int32), id="the whole range of integers"),
    ],
)
def test_odd_numbers_make_a_picture_without_a_warning(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_picture(Image.fromarray(values)).mode == "RGB"


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"] + (["AVIF"] if "AVIF" in FORMATS else []))
def test_of_an_animation_the_first_frame_is_taken(form):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert close(open_picture(content).getpixel((8, 8)), RED)


def test_a_picture_with_further_pictures_behind_it_counts_as_jpeg():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN)]
    content = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert close(open_picture(content).getpixel((8, 8)), RED)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"hello, I am a text", id="text"),
        pytest.param(b"<!doctype html><script>alert(1)</script>", id="HTML"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>', id="SVG"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", id="PDF"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", id="PostScript, which Pillow would run"),
        pytest.param(b"PK\x03\x04" + bytes(40), id="zip"),
        pytest.param(encoded(quarters(), "PPM"), id="PPM, a picture that is not allowed"),
        pytest.param(encoded(quarters(), "ICO"), id="ICO, a picture that is not allowed"),
        pytest.param(encoded(quarters(), "TGA"), id="TGA, a picture that is not allowed"),
        pytest.param(b"\0" * 100, id="zeros"),
        pytest.param(b"\0\0\0\x18ftypheic" + bytes(40), id="HEIC"),
    ],
)
def test_what_is_no_allowed_picture_is_refused_with_what_is(content):
    message = refusal(content)
    assert "JPEG, PNG" in message
    assert "20 MB and 40 megapixels" in message


def test_an_empty_file_is_refused():
    assert "empty" in refusal(b"")


@pytest.mark.parametrize("source", ["https://example.com/cat.png", "no/such/file.png", "\0", "x" * 5000, "", "."])
def test_what_is_no_file_is_refused(source):
    assert "file" in refusal(source)


def test_a_device_is_never_read():
    refusal("/dev/zero")


def test_an_unreadable_picture_is_refused_in_every_format():
    for form in FORMATS:
        content = encoded(quarters(), form)
        for length in (1, 3, 12, 20, len(content) // 4, len(content) // 2):
            refusal(content[:length])


@pytest.mark.parametrize(
    ("size", "part"),
    [
        pytest.param((8000, 6000), "48.0 megapixels); at most 40 megapixels", id="48 megapixels"),
        pytest.param((10_000, 10_000), "100.0 megapixels", id="where Pillow warns of a bomb"),
        pytest.param((20_000, 20_000), "at most 40 megapixels", id="where Pillow refuses a bomb"),
        pytest.param((20_001, 200), "20,001 × 200 pixels; each side may have at most 20,000", id="too long a side"),
        pytest.param((2**31 - 1, 2**31 - 1), "at most 20,000 pixels", id="the largest numbers"),
        pytest.param((20_000, 99), "at most 200 times", id="too narrow"),
        pytest.param((0, 5), "cannot be opened", id="no width"),
        pytest.param((5, 0), "cannot be opened", id="no height"),
    ],
)
def test_a_size_beyond_the_limits_is_refused_before_any_pixel_is_decoded(size, part, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it was decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert part in refusal(png(*size))


def test_a_size_at_the_limits_is_allowed():
    limits = Limits(max_megapixels=0.002, max_side=100, max_aspect=5)
    for size in ((100, 20), (20, 100), (40, 50)):
        assert open_picture(encoded(Image.new("RGB", size)), limits).size == size
    for size in ((101, 30), (41, 50), (100, 19)):
        with pytest.raises(InvalidPicture):
            open_picture(encoded(Image.new("RGB", size)), limits)


def test_too_large_a_file_is_refused_before_it_is_looked_at(tmp_path):
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(20 * 1024 * 1024 + 1)
    message = refusal(path)
    assert "20.1 MB; at most 20 MB" in message
    assert refusal(path.read_bytes()) == message


def test_running_out_of_memory_is_a_sentence(monkeypatch):
    def fail(_):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "memory" in refusal(encoded(quarters(), "BMP"))


def test_no_more_are_decoded_at_once_than_allowed():
    limits = Limits(decoding=threading.BoundedSemaphore(1), patience=0.01)
    content = encoded(quarters())
    assert open_picture(content, limits).size == open_picture(content, limits).size  # a turn is given back
    with pytest.raises(InvalidPicture):
        open_picture(encoded(quarters())[:60], limits)  # also after a failure
    with limits.decoding, pytest.raises(Busy, match="Too many pictures"):
        open_picture(content, limits)
    with limits.decoding:  # what its header tells needs no turn
        assert "megapixels" in refusal(png(9000, 9000), limits)
    assert open_picture(content, limits).size == (64, 32)


def test_waiting_for_a_turn_ends_when_it_comes():
    limits = Limits(decoding=threading.BoundedSemaphore(1), patience=30)
    content = encoded(quarters())
    with ThreadPoolExecutor(8) as pool:
        assert {image.size for image in pool.map(lambda _: open_picture(content, limits), range(40))} == {(64, 32)}


def test_what_the_kernel_serves_as_a_file_does_not_keep_anyone_waiting():
    refusal("/proc/kmsg")  # waits for the next message of the kernel, if one lets it


def test_a_refusal_can_be_told_in_another_language():
    with pytest.raises(InvalidPicture) as error:
        open_picture(png(9000, 9000))
    assert error.value.sentence.template.startswith("The picture is {width:,} × {height:,} pixels")
    assert error.value.sentence.fields["width"] == 9000


def test_pillows_global_switches_are_left_alone():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    open_picture(encoded(quarters()))
    refusal(png(20_000, 20_000))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_found_fit_or_damaged_as_it_is_when_it_is_opened(form):
    check_file(encoded(quarters(), form))
    damaged = encoded(quarters(), form)[:70]
    with pytest.raises(InvalidPicture) as found:
        check_file(damaged)
    assert str(found.value) == refusal(damaged)


def test_of_a_large_file_only_the_header_is_looked_at():
    check_file(png(2001, 1000), decoded=2)
    with pytest.raises(InvalidPicture, match="damaged"):
        check_file(png(2000, 1000), decoded=2)
    with pytest.raises(InvalidPicture, match="megapixels"):
        check_file(png(2001, 1000), Limits(max_megapixels=2), decoded=1)


def test_an_open_picture_goes_the_same_way_and_is_not_changed():
    image = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    image.info["comment"] = "kept"
    checked = check_picture(image)
    assert (checked.mode, checked.size, checked.getpixel((0, 0)), checked.info) == ("RGB", (20, 10), WHITE, {})
    assert (image.mode, image.info) == ("RGBA", {"comment": "kept"})
    same = quarters()
    assert check_picture(same) is not same


def test_an_open_picture_beyond_the_limits_or_broken_is_refused():
    with pytest.raises(InvalidPicture, match="40 megapixels"):
        check_picture(Image.open(io.BytesIO(png(9000, 5000))))
    with pytest.raises(InvalidPicture, match="damaged"):
        check_picture(Image.open(io.BytesIO(encoded(noise(), "JPEG")[:-500])))
    with pytest.raises(InvalidPicture, match="no pixels"):
        check_picture(Image.new("RGB", (0, 3)))


@pytest.mark.parametrize(
    "mode",
    [
        "1",
        "L",
        "LA",
        "La",
        "P",
        "PA",
        "RGB",
        "RGBA",
        "RGBa",
        "RGBX",
        "CMYK",
        "YCbCr",
        "LAB",
        "HSV",
        "I",
        "F",
        "I;16",
        "I;16B",
        "I;16L",
    ],
)
def test_every_mode_of_pillow_becomes_rgb(mode):
    assert check_picture(Image.new(mode, (4, 3))).mode == "RGB"


def test_the_formats_named_in_refusals_are_those_that_open():
    assert [name.upper() for name in allowed_formats()] == FORMATS


@pytest.mark.parametrize(
    ("bits", "white_is_zero"),
    [(12, False), (16, False), (16, True)],
    ids=["12 bits, as scanners write them", "16 bits", "16 bits, white is zero"],
)
def test_a_grey_tiff_of_many_bits_goes_from_black_to_white(bits: int, white_is_zero: bool) -> None:
    width, height = 64, 48
    ramp = np.linspace(0, 2**bits - 1, width * height).astype(int)
    if bits == 16:
        data = (ramp[::-1] if white_is_zero else ramp).astype("<u2").tobytes()
    else:  # one after the other, the highest bit first
        data = int("".join(f"{value:012b}" for value in ramp), 2).to_bytes(width * height * 12 // 8, "big")
    short, long = (
        3,
        4,
    )  # of the tags' values: size, bits, no compression, what 0 is, where and how long the only strip is
    tags = (
        (256, short, width), (257, short, height), (258, short, bits), (259, short, 1), (262, short, not white_is_zero),
        (273, long, 8), (277, short, 1), (278, short, height), (279, long, len(data)),
    )  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    header = b"II*\0" + struct.pack("<I", 8 + len(data))
    picture = np.asarray(open_picture(header + data + struct.pack("<H", len(tags)) + table + bytes(4)))

    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[-1, -1].tolist() == [255, 255, 255]
