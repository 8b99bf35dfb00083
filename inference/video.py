"""Frames of an uploaded clip, evenly spaced and upright, or one sentence why there are none.

Knows containers, codecs and time stamps; knows nothing of tasks, models or the page. What the first bytes name decides
how a file is read, so that no playlist is followed to other files or addresses. A clip is checked by its header and by
the time stamps of its packets before a picture is decoded, and each picture is decoded when it is asked for.
"""

import bisect
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NoReturn

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from inference.errors import InvalidVideo, UserError
from inference.sentences import Sentence, rounded_up

_MEGABYTE = 1024 * 1024
_MEGAPIXEL = 1_000_000
_FILES = "MP4, MOV, WebM, MKV, AVI"

CODECS: Mapping[str, str] = MappingProxyType(
    {
        "h264": "H.264", "hevc": "H.265", "av1": "AV1", "vp9": "VP9", "vp8": "VP8", "mpeg4": "MPEG-4",
        "mjpeg": "Motion JPEG", "prores": "ProRes",
    }
)  # fmt: skip
"""The codecs that are read, by the names that libav has for them: what phones, cameras and browsers write."""

_DECODERS = ",".join([*CODECS, "libdav1d"])
_ENTRIES_A_SECOND = 100_000  # uncompressed sound has an entry a sample, two tracks of it 96,000
_BOXES_A_SECOND = 1000  # a live stream may have a box, its table and its media for each picture and bit of sound
_TABLE = re.compile(rb"stsz.{8}(.{4})|stz2.{8}(.{4})|trun.{4}(.{4})", re.DOTALL)
_TOLERANCE = 1.0  # seconds by which players disagree about how long a clip is


@dataclass(frozen=True, slots=True)
class ClipLimits:
    """What an uploaded clip may be.

    Attributes:
        max_megabytes: Size of the file, in units of 1024 × 1024 bytes.
        max_seconds: How long it lasts.
        max_megapixels: Width times height of its pictures, in millions; enough for 4K.
        max_rate: Pictures a second.
        max_side: Frames are made smaller until no side is longer: 32 of them are in memory at a time.
        patience: Seconds that all of its frames may take to be decoded.
    """

    max_megabytes: float = 50
    max_seconds: float = 60
    max_megapixels: float = 9
    max_rate: int = 240
    max_side: int = 1280
    patience: float = 60.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a clip.

    Attributes:
        time: Seconds from the beginning of the clip.
        image: RGB and upright, or None where it cannot be decoded.
        error: Why it cannot.
    """

    time: float
    image: Image.Image | None
    error: UserError | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that has been checked, but of which no picture has been decoded for its sake.

    Attributes:
        path: Its file.
        width, height: Of its pictures as they are coded, before they are turned upright.
        stamps: When each picture is shown, ascending, in units of the stream's time base.
        keys: The same, of those with which decoding can begin.
        span: How long it lasts, in the same units.
        time_base: Seconds of one unit.
        limits: What it was checked against.
    """

    path: Path
    width: int
    height: int
    stamps: tuple[int, ...] = field(repr=False)
    keys: tuple[int, ...] = field(repr=False)
    span: int
    time_base: Fraction
    limits: ClipLimits

    @property
    def seconds(self) -> float:
        """How long it lasts, by the time stamps of its pictures."""
        return float(self.span * self.time_base)

    def spaced(self, count: int) -> tuple[int, ...]:
        """The stamps of evenly spaced pictures, the first at the beginning.

        Args:
            count: How many; fewer come of a clip that has fewer.
        """
        count = min(count, len(self.stamps))
        places = (self.stamps[0] + number * self.span // count for number in range(count))
        chosen = (self.stamps[bisect.bisect_right(self.stamps, place) - 1] for place in places)
        return tuple(dict.fromkeys(chosen))

    def seconds_at(self, stamp: int) -> float:
        """When a picture is shown, in seconds from the beginning."""
        return float((stamp - self.stamps[0]) * self.time_base)

    def frames(self, count: int) -> Iterator[Frame]:
        """Evenly spaced pictures, each decoded when it is asked for.

        Args:
            count: How many; fewer come of a clip that has fewer.

        Raises:
            InvalidVideo: The file is gone or cannot be opened any more. What is wrong with single pictures stands in
                the frames.
        """
        with _opened(self.path, self.limits) as (container, stream):
            yield from _Decoder(self, container, stream).frames(self.spaced(count))


def open_clip(path: Path, limits: ClipLimits | None = None) -> Clip:
    """Checks a file without decoding its pictures.

    Args:
        path: The file; its name makes no difference.
        limits: What is allowed; `ClipLimits()` if not given.

    Raises:
        InvalidVideo: It is not a clip, or not one within the limits.
    """
    limits = limits or ClipLimits()
    with _opened(path, limits) as (container, stream):
        _check_picture(stream, limits)
        if container.duration is not None:
            _check_seconds(container.duration / av.time_base, limits)
        stamps, keys, last = _scan(container, stream, limits)
        if not stamps:
            raise InvalidVideo(Sentence("There are no pictures in this video; {allowed}.", allowed=_allowed(limits)))
        time_base = stream.time_base or Fraction(1, 1000)
        span = stamps[-1] + max(last, 1) - stamps[0]
        _check_seconds(float(span * time_base), limits)
        context = stream.codec_context
        return Clip(path, context.width, context.height, stamps, keys, span, time_base, limits)


class _Decoder:
    """Decodes chosen pictures of a clip in their order, past what is damaged.

    Args:
        clip: What is known about it.
        container, stream: It, open.
    """

    def __init__(self, clip: Clip, container: InputContainer, stream: VideoStream) -> None:
        self._clip = clip
        self._container = container
        self._stream = stream
        # A pixel may be wider or narrower than it is high; what a header says beyond this is no picture's shape.
        self._pixel = min(4.0, max(0.25, float(stream.sample_aspect_ratio or 1)))
        self._patience = clip.limits.patience  # for decoding alone: between two frames, a model may take its time
        self._position = clip.stamps[0] - 1
        self._decoded: Iterator[VideoFrame] = container.decode(stream)

    def frames(self, wanted: tuple[int, ...]) -> Iterator[Frame]:
        damaged = False
        for stamp in wanted:
            at, begin = self._clip.seconds_at(stamp), time.monotonic()
            try:
                self._go_to(stamp, force=damaged)
                decoded = self._next(stamp, until=begin + self._patience)
                frame = Frame(at, _upright(decoded, self._clip.limits, pixel=self._pixel))
            except InvalidVideo as error:
                frame = Frame(at, None, error)
            # As with pictures, hostile bytes raise nearly anything.
            except Exception:
                frame = Frame(at, None, InvalidVideo(Sentence("This frame of the video is damaged.")))
            damaged = frame.image is None
            self._patience -= time.monotonic() - begin
            yield frame

    def _go_to(self, stamp: int, *, force: bool) -> None:
        """Jumps to the last picture before a stamp with which decoding can begin, if that is ahead."""
        key = bisect.bisect_right(self._clip.keys, stamp) - 1
        if force or (key >= 0 and self._clip.keys[key] > self._position):
            self._container.seek(stamp, stream=self._stream)
            self._decoded = self._container.decode(self._stream)

    def _next(self, stamp: int, *, until: float) -> VideoFrame:
        last = None
        for frame in self._decoded:
            if time.monotonic() > until:
                raise InvalidVideo(Sentence("Decoding this video takes too long; a smaller or shorter one may work."))
            shown = frame.pts if frame.pts is not None else frame.dts
            self._position = stamp if shown is None else shown
            last = frame
            if self._position >= stamp:
                return frame
        if last is None:
            raise InvalidVideo(Sentence("This frame of the video is damaged."))
        return last


@contextmanager
def _opened(path: Path, limits: ClipLimits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The open clip and its moving picture; whatever libav raises inside becomes an InvalidVideo."""
    try:
        _check_file(path, limits)
        with path.open("rb") as file:
            form = _form_of(file.read(16))
            if form is None:
                raise InvalidVideo(
                    Sentence("This file is not a video that can be opened here; {allowed}.", allowed=_allowed(limits))
                )
            if form == "mov":
                _check_tables(file, limits)
            file.seek(0)
            with av.open(
                file,
                "r",
                format=form,
                options={
                    "format_whitelist": form,
                    "codec_whitelist": _DECODERS,
                    # The header may say less than what is coded: beyond this, libav decodes no picture. What is only a
                    # little too large is refused by a better sentence.
                    "max_pixels": str(int(4 * limits.max_megapixels * _MEGAPIXEL)),
                },
                metadata_errors="replace",
                io_open=_no_other_file,
            ) as container:
                yield container, _picture_of(container, limits)
    except UserError:
        raise
    except Exception as error:
        raise InvalidVideo(
            Sentence("The video is damaged or incomplete and cannot be opened; {allowed}.", allowed=_allowed(limits))
        ) from error


def _no_other_file(*_: Any) -> NoReturn:
    """Stands where libav would open what a clip refers to."""
    raise PermissionError("a clip is one file")


def _form_of(start: bytes) -> str | None:
    """The name that libav has for the container whose signature a file begins with, or None."""
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return "avi"
    return None


def _check_tables(file: BinaryIO, limits: ClipLimits) -> None:
    """Refuses an MP4 file whose tables say more than it can hold: libav would fill gigabytes from a few bytes.

    Everything but the media itself is looked through for tables, wherever libav might accept them. A file of nothing
    but boxes or tables is refused too: to look at millions of them takes half a minute.
    """
    entries = 0
    for number, claimed in enumerate(_claims(file), start=1):
        entries += claimed
        if number > limits.max_seconds * _BOXES_A_SECOND:
            raise ValueError(f"more than {number - 1} boxes and tables")
        if entries > limits.max_seconds * _ENTRIES_A_SECOND:
            raise ValueError(f"tables of {entries} entries")


def _claims(file: BinaryIO) -> Iterator[int]:
    """How many entries each table of an MP4 file says that it has, and a 0 for each box."""
    end, place = file.seek(0, 2), 0
    while place + 8 <= end:
        yield 0
        file.seek(place)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        size = {0: end - place, 1: int.from_bytes(head[8:], "big")}.get(size, size)
        if size < 8:
            break  # what follows is no box, to libav neither
        if kind != b"mdat":
            file.seek(place)
            content = file.read(size)
            if b"cmov" in content:  # tables that are compressed themselves; nothing has written them for decades
                raise ValueError("a compressed header")
            for found in _TABLE.finditer(content):
                yield int.from_bytes(next(filter(None, found.groups())), "big")
        place += size


def _check_file(path: Path, limits: ClipLimits) -> None:
    if not path.is_file():
        raise InvalidVideo(Sentence("The video file cannot be read; {allowed}.", allowed=_allowed(limits)))
    size = path.stat().st_size / _MEGABYTE
    if size > limits.max_megabytes:
        raise InvalidVideo(
            Sentence(
                "The video file has {size} MB; at most {limit} MB are allowed.",
                size=rounded_up(size),
                limit=f"{limits.max_megabytes:g}",
            )
        )


def _picture_of(container: InputContainer, limits: ClipLimits) -> VideoStream:
    """The moving picture of a clip: not its sound, and not the picture on its cover."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise InvalidVideo(
        Sentence("There is no moving picture in this file, only sound or nothing; {allowed}.", allowed=_allowed(limits))
    )


def _check_picture(stream: VideoStream, limits: ClipLimits) -> None:
    context = stream.codec_context
    name = "av1" if context is not None and context.name == "libdav1d" else getattr(context, "name", "")
    if name not in CODECS:
        raise InvalidVideo(
            Sentence(
                "The pictures of this video are coded in a way that cannot be read here; {codecs} can be.",
                codecs=", ".join(CODECS.values()),
            )
        )
    pixels = context.width * context.height
    if not pixels:
        raise InvalidVideo(
            Sentence(
                "The pictures of this video have no size or are far too large; at most {limit} megapixels are allowed.",
                limit=f"{limits.max_megapixels:g}",
            )
        )
    if pixels > limits.max_megapixels * _MEGAPIXEL:
        raise InvalidVideo(
            Sentence(
                "The video is {width} × {height} pixels; at most {limit} megapixels are allowed.",
                width=f"{context.width:,}",
                height=f"{context.height:,}",
                limit=f"{limits.max_megapixels:g}",
            )
        )


def _check_seconds(seconds: float, limits: ClipLimits) -> None:
    if seconds > limits.max_seconds + _TOLERANCE:
        raise InvalidVideo(
            Sentence(
                "The video lasts {seconds} seconds; at most {limit} are allowed. Cut out the part that matters.",
                seconds=rounded_up(seconds),
                limit=f"{limits.max_seconds:g}",
            )
        )


def _scan(
    container: InputContainer, stream: VideoStream, limits: ClipLimits
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """When the pictures are shown, when those are with which decoding can begin, and how long the last one is.

    Reads the file once without decoding it: a header may say nothing of the length, or something wrong.
    """
    stamps: dict[int, int] = {}
    keys: set[int] = set()
    most, packets = int(limits.max_rate * limits.max_seconds), 0
    for packet in container.demux(stream):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or not packet.size:
            continue
        if packet.is_keyframe:
            keys.add(stamp)
        if not packet.is_discard:  # what was cut off by an edit list is decoded, but not shown
            stamps[stamp] = packet.duration or 0
        packets += 1
        if packets > most:
            raise InvalidVideo(
                Sentence("The video has more than {limit} frames, which is too many.", limit=f"{most:,}")
            )
    ordered = tuple(sorted(stamps))
    last = stamps[ordered[-1]] if ordered else 0
    if not last and len(ordered) > 1:
        last = (ordered[-1] - ordered[0]) // (len(ordered) - 1)
    return ordered, tuple(sorted(keys)), last


def _upright(frame: VideoFrame, limits: ClipLimits, *, pixel: float) -> Image.Image:
    """The picture as a player shows it: with square pixels, turned upright, no larger than allowed.

    Args:
        frame: As it was decoded.
        limits: How large it may be, before and after.
        pixel: How wide a pixel of it is, in heights.
    """
    if frame.width * frame.height > limits.max_megapixels * _MEGAPIXEL:
        raise InvalidVideo(Sentence("This frame of the video is larger than allowed."))
    width, height = frame.width * pixel, float(frame.height)
    smaller = min(1.0, limits.max_side / max(width, height))
    size = {"width": max(1, round(width * smaller)), "height": max(1, round(height * smaller))}
    image: Image.Image = frame.reformat(**size, format="rgb24", interpolation="AREA").to_image()  # type: ignore[no-untyped-call]
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _allowed(limits: ClipLimits) -> Sentence:
    return Sentence(
        "allowed are {files} files of up to {megabytes} MB and {seconds} seconds",
        files=_FILES,
        megabytes=f"{limits.max_megabytes:g}",
        seconds=f"{limits.max_seconds:g}",
    )
