"""Turns an uploaded file into an upright RGB picture within limits, or says in one sentence why it cannot.

Knows file formats, colour modes and sizes; knows nothing of tasks, models or the page. Pillow's global switches
(`MAX_IMAGE_PIXELS`, `LOAD_TRUNCATED_IMAGES`, warning filters) are neither read on purpose nor changed: the header is
read by the plugin of the format that the first bytes name, and this module's own limits are checked before a pixel is
decoded.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from inference.errors import Busy, InvalidPicture, UserError
from inference.sentences import Sentence, rounded_up

_MEGABYTE = 1024 * 1024  # as the upload component of the page counts them
_MEGAPIXEL = 1_000_000
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class Limits:
    """What an uploaded picture may be, and how many may be decoded at once.

    Attributes:
        max_megabytes: Size of the file, in units of 1024 × 1024 bytes.
        max_megapixels: Width times height, in millions.
        max_side: Longer side, in pixels.
        max_aspect: Longer side divided by the shorter one.
        decoding: Held while a picture is decoded, which takes up to sixteen bytes a pixel for a moment; None where
            nobody else decodes beside the caller.
        patience: Seconds that a picture waits for its turn to be decoded.
    """

    max_megabytes: float = 20
    max_megapixels: float = 40
    max_side: int = 20_000
    max_aspect: float = 200
    decoding: threading.Semaphore | None = field(default=None, compare=False, repr=False)
    patience: float = 60


_Reader = Callable[[io.BytesIO], ImageFile.ImageFile]

# JpegImageFile itself, not Pillow's factory: the further pictures of an MPO file (phones, 3D cameras) follow a plain
# JPEG, and the factory warns about every MPO index that it does not like.
_READERS: Mapping[str, _Reader] = MappingProxyType(
    {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "AVIF": AvifImagePlugin.AvifImageFile,
    }
)

_UPRIGHT: Mapping[int, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


def open_picture(source: Path | str | bytes, limits: Limits | None = None) -> Image.Image:
    """Opens a picture from a file or from its bytes.

    The format is told by the content, never by the name. Of an animation or a file with several pages this is the
    first picture.

    Args:
        source: A path, or the content of a file.
        limits: What is allowed; `Limits()` if not given.

    Returns:
        An RGB picture, upright, without metadata, that shares nothing with the file.

    Raises:
        InvalidPicture: In every other case, whatever the bytes are.
        Busy: Too many others are being decoded.
    """
    limits = limits or Limits()
    content = _read(source, limits)
    with _plain_errors(limits), _reader(content, limits)(io.BytesIO(content)) as image:
        return _normalise(image, limits)


def check_file(source: Path | str | bytes, limits: Limits | None = None, *, decoded: float = 16) -> None:
    """Finds out whether `open_picture` would refuse a file, at a fraction of its cost.

    Args:
        source: A path, or the content of a file.
        limits: What is allowed; `Limits()` if not given.
        decoded: Megapixels up to which a picture is decoded to the end; of larger ones only the header is read.

    Raises:
        InvalidPicture: It would.
        Busy: Too many others are being decoded.
    """
    limits = limits or Limits()
    content = _read(source, limits)
    with _plain_errors(limits), _reader(content, limits)(io.BytesIO(content)) as image:
        _check_dimensions(image.size, limits)
        if image.width * image.height <= decoded * _MEGAPIXEL:
            with _turn(limits):
                image.load()


def check_picture(image: Image.Image, limits: Limits | None = None) -> Image.Image:
    """Brings a picture that is already open to the form that the other layers expect.

    Args:
        image: Any Pillow picture, loaded or not. It is not changed.
        limits: What is allowed; `Limits()` if not given. The size of its file is not known here.

    Returns:
        A new RGB picture, upright, without metadata.

    Raises:
        InvalidPicture: It is too large, too narrow, empty, broken or of an unknown kind.
        Busy: Too many others are being decoded.
    """
    limits = limits or Limits()
    with _plain_errors(limits):
        return _normalise(image, limits)


def allowed_formats() -> tuple[str, ...]:
    """The names of the formats that can be opened; AVIF only where this Pillow was built with it."""
    return tuple(name for name in _READERS if name != "AVIF" or features.check("avif"))


def _read(source: Path | str | bytes, limits: Limits) -> bytes:
    if isinstance(source, bytes):
        content = source
    else:
        try:
            path = Path(source)
            # A device or a pipe has no size to check, and reading it may never end.
            if not path.is_file():
                raise _not_allowed("There is no picture file there; {allowed}.", limits)
            # What the kernel serves as a file may have nothing to say yet: then nothing comes, instead of waiting.
            with open(path, "rb", opener=_open_without_waiting) as file:
                # One byte more than allowed is enough to know; the file may grow while it is read.
                content = file.read(int(limits.max_megabytes * _MEGABYTE) + 1) or b""
                size = max(path.stat().st_size, len(content))
        except (OSError, ValueError) as error:
            raise _not_allowed("The picture file cannot be read; {allowed}.", limits) from error
        _check_megabytes(size, limits)
    _check_megabytes(len(content), limits)
    if not content:
        raise _not_allowed("The picture file is empty; {allowed}.", limits)
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _reader(content: bytes, limits: Limits) -> _Reader:
    name = _format_of(content[:64])
    if name is None or name not in allowed_formats():
        raise _not_allowed("This file is not a picture that can be opened here; {allowed}.", limits)
    return _READERS[name]


def _format_of(start: bytes) -> str | None:
    """The format whose signature a file begins with, or None."""
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if start.startswith(b"BM"):
        return "BMP"
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    # The brand of an AVIF may be a general one (mif1), its own then stands among the compatible ones.
    if start[4:8] == b"ftyp" and any(brand in start[8:] for brand in (b"avif", b"avis")):
        return "AVIF"
    return None


@contextmanager
def _plain_errors(limits: Limits) -> Iterator[None]:
    """Turns whatever Pillow raises into an InvalidPicture."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise InvalidPicture(
            Sentence(
                "There is not enough memory to open this picture; a smaller one may work, and up to {most:g} "
                "megapixels are allowed.",
                most=limits.max_megapixels,
            )
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidPicture(
            Sentence("The picture is too large; at most {most:g} megapixels are allowed.", most=limits.max_megapixels)
        ) from error
    # Hostile bytes make Pillow's decoders raise nearly anything (OSError, SyntaxError, struct.error, KeyError,
    # ZeroDivisionError …), and a warning too where the process turns warnings into errors.
    except Exception as error:
        raise _not_allowed("The picture is damaged or incomplete and cannot be opened; {allowed}.", limits) from error


def _normalise(image: Image.Image, limits: Limits) -> Image.Image:
    _check_dimensions(image.size, limits)
    with _turn(limits):
        image.load()
        # After loading: a PNG may carry its EXIF behind the pixels, and Pillow itself turns some TIFFs while it loads.
        _check_dimensions(image.size, limits)
        orientation = _orientation(image)
        picture = _to_rgb(image)
        picture.info = {}
        if orientation in _UPRIGHT:
            picture = picture.transpose(_UPRIGHT[orientation])
        return picture


@contextmanager
def _turn(limits: Limits) -> Iterator[None]:
    """Waits until few enough others are being decoded."""
    if limits.decoding is None:
        yield
        return
    if not limits.decoding.acquire(timeout=limits.patience):
        raise Busy(Sentence("Too many pictures are being opened at the moment. Try again in a minute."))
    try:
        yield
    finally:
        limits.decoding.release()


def _check_megabytes(size: int, limits: Limits) -> None:
    if size > limits.max_megabytes * _MEGABYTE:
        raise InvalidPicture(
            Sentence(
                "The picture file has {size} MB; at most {most:g} MB are allowed.",
                size=rounded_up(size / _MEGABYTE),
                most=limits.max_megabytes,
            )
        )


def _check_dimensions(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    picture: dict[str, object] = {"width": width, "height": height}
    if width < 1 or height < 1:
        raise _not_allowed("The picture has no pixels ({width} × {height}); {allowed}.", limits, **picture)
    if max(width, height) > limits.max_side:
        raise InvalidPicture(
            Sentence(
                "The picture is {width:,} × {height:,} pixels; each side may have at most {most:,} pixels.",
                most=limits.max_side,
                **picture,
            )
        )
    if width * height > limits.max_megapixels * _MEGAPIXEL:
        raise InvalidPicture(
            Sentence(
                "The picture is {width:,} × {height:,} pixels ({megapixels} megapixels); at most {most:g} megapixels "
                "are allowed.",
                megapixels=rounded_up(width * height / _MEGAPIXEL),
                most=limits.max_megapixels,
                **picture,
            )
        )
    if max(width, height) > limits.max_aspect * min(width, height):
        raise InvalidPicture(
            Sentence(
                "The picture is {width:,} × {height:,} pixels; the long side may be at most {most:g} times the short "
                "one.",
                most=limits.max_aspect,
                **picture,
            )
        )


def _not_allowed(template: str, limits: Limits, **fields: object) -> InvalidPicture:
    """The refusal that says what is allowed, where the template has {allowed}."""
    return InvalidPicture(Sentence(template, allowed=_allowed(limits), **fields))


def _allowed(limits: Limits) -> Sentence:
    *names, last = allowed_formats()
    return Sentence(
        "allowed are {formats} and {last} files of up to {megabytes:g} MB and {megapixels:g} megapixels",
        formats=", ".join(names),
        last=last,
        megabytes=limits.max_megabytes,
        megapixels=limits.max_megapixels,
    )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or where the metadata are broken."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken metadata raise as many kinds of errors as broken pixels, and do not spoil a picture
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture with the colours of any picture, on white where it is transparent."""
    if image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {})  # of a TIFF: Pillow reads 12 bits as 16, and 0 as black whatever it is
        white = 2.0 ** tags.get(258, (16,))[0] - 1
        values = np.asarray(image)
        return _grey_to_rgb(white - values if tags.get(262) == 0 else values, white=white)
    if image.mode in ("I", "F"):
        return _grey_to_rgb(np.asarray(image), white=None)
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":  # Pillow takes premultiplied grey to RGBA only by this step
        image = image.convert("LA")
    image = image.convert("RGBA")
    picture = Image.new("RGB", image.size, "white")
    picture.paste(image, mask=image.getchannel("A"))
    return picture


def _grey_to_rgb(values: np.ndarray, *, white: float | None) -> Image.Image:
    """Scales grey values to 8 bits; Pillow's own conversion clips them.

    Args:
        values: (height, width) of any number type; what is not finite counts as black.
        white: The value that is white, with 0 as black; None where the file does not say. Then it is 1, 255 or 65535,
            the first that holds every value (1 only for floats), and other ranges are stretched to black and white.
    """
    black = 0.0
    floats = values.dtype.kind == "f"
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if white is None:
        low, high = float(values.min()), float(values.max())
        usual = (1.0, 255.0, 65_535.0) if floats else (255.0, 65_535.0)
        white = next((limit for limit in usual if low >= 0 and high <= limit), None)
        if white is None:
            black, white = low, high
    scale = 255 / (white - black) if white > black else 0.0
    if black:
        values = values.astype(np.float64) - black  # the range of two float32 values may be too wide for a third
    np.multiply(values, scale, out=values)
    grey = np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
