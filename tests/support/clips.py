"""Clips that PyAV makes for a test: a red square that moves from left to right."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw

SIDE = 24
"""Of the square, in pixels."""


def make_clip(
    path: Path,
    *,
    frames: int = 20,
    rate: int = 10,
    size: tuple[int, int] = (160, 120),
    codec: str = "mpeg4",
    rotation: int = 0,
    pixel: Fraction = Fraction(1),
    sound: bool = False,
    **options: Any,
) -> Path:
    """Writes a clip; its name decides the container.

    Args:
        path: Where.
        frames: How many; none for sound alone.
        rate: How many a second.
        size: Width and height of the pictures as they are coded.
        codec: libav's name of it.
        rotation: Degrees counterclockwise by which a player turns the pictures.
        pixel: How wide a pixel of them is, in heights.
        sound: Whether there is a second of silence too.
        options: Those of the codec.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options) if frames else None
        silence = container.add_stream("aac", rate=44_100) if sound else None
        if stream is not None:
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.sample_aspect_ratio = pixel
            if rotation:
                stream.set_display_rotation(rotation)
            for number in range(frames):
                container.mux(stream.encode(av.VideoFrame.from_image(_picture(number / frames, size))))
            container.mux(stream.encode())
        if silence is not None:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44_100, 0
            container.mux(silence.encode(frame))
            container.mux(silence.encode())
    return path


def place_of(image: Image.Image) -> tuple[float, float]:
    """The middle of the square in a frame, as parts of its width and height."""
    red = np.asarray(image).astype(int)
    rows, columns = np.nonzero((red[..., 0] > 150) & (red[..., 1] < 100))
    return float(columns.mean() + 0.5) / image.width, float(rows.mean() + 0.5) / image.height


def claim_samples(path: Path, count: int) -> Path:
    """Makes the tables of an MP4 file say that it holds more samples than it does."""
    content = bytearray(path.read_bytes())
    struct.pack_into(">II", content, content.find(b"stsz") + 8, 1, count)
    struct.pack_into(">II", content, content.find(b"stsc") + 12, 1, count)
    struct.pack_into(">II", content, content.find(b"stts") + 8, 1, count)
    path.write_bytes(content)
    return path


def _picture(share: float, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, (20, 60, 20))
    left = round(share * (size[0] - SIDE))
    ImageDraw.Draw(image).rectangle((left, 8, left + SIDE, 8 + SIDE), fill=(230, 20, 20))
    return image
