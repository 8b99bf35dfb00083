"""What strangers send: pictures, texts and values that are wrong on purpose, made by code.

Every one is to be answered, or refused with a sentence that says why. Knows what is sent, not what comes of it.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.page_client import file


def _packed(image: Image.Image, kind: str, **options: Any) -> bytes:
    packed = io.BytesIO()
    image.save(packed, kind, **options)
    return packed.getvalue()


def _noise(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def _png(width: int, height: int, lines: bytes) -> bytes:
    """A PNG of one channel whose header says what one likes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def _broken_anywhere(chance: random.Random) -> bytes:
    content = bytearray(_packed(_noise(64, 48, chance.randrange(9)), chance.choice(("PNG", "JPEG", "WEBP", "GIF"))))
    for _ in range(20):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


UPLOADS: Mapping[str, Callable[[random.Random], tuple[bytes, str]]] = MappingProxyType(
    {
        "nothing in it": lambda _: (b"", "empty.png"),
        "text": lambda _: (b"not a picture", "picture.jpg"),
        "any bytes": lambda chance: (chance.randbytes(chance.randrange(1, 5000)), "picture.webp"),
        "cut short": lambda chance: (_packed(_noise(200, 150, 1), "JPEG")[: chance.randrange(10, 4000)], "cut.jpg"),
        "broken anywhere": lambda chance: (_broken_anywhere(chance), "broken.png"),
        "says it is huge": lambda _: (_png(60_000, 60_000, b"\0"), "huge.png"),
        "bomb": lambda _: (_png(9_000, 9_000, bytes(9_001 * 9_000)), "bomb.png"),
        "too narrow": lambda _: (_packed(Image.new("L", (5_000, 3)), "PNG"), "narrow.png"),
        "one pixel": lambda _: (_packed(Image.new("RGB", (1, 1)), "PNG"), "one.png"),
        "drawing of vectors": lambda _: (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "x.svg"),
        "script": lambda _: (b"<script>alert(1)</script>", "x.html"),
        "another kind": lambda _: (_packed(Image.new("RGB", (9, 9)), "ICO"), "icon.png"),
        "16 bits": lambda _: (_packed(Image.fromarray(np.full((20, 30), 40_000, np.uint16)), "PNG"), "deep.png"),
        "palette": lambda _: (_packed(_noise(80, 60, 2).quantize(16), "GIF"), "palette.gif"),
        "moving": lambda _: (
            _packed(_noise(40, 30, 3), "GIF", save_all=True, append_images=[_noise(40, 30, 4)] * 5),
            "moving.gif",
        ),
        "name of a path": lambda _: (_packed(_noise(30, 30, 5), "PNG"), "../../../../etc/passwd"),
        "long name": lambda _: (_packed(_noise(30, 30, 6), "PNG"), "n" * 3_000 + ".png"),
        "strange name": lambda _: (_packed(_noise(30, 30, 7), "PNG"), "\u202egnp.<b>\x7f名.png"),
    }
)
"""Files to upload and to ask about."""

HUGE = 51 * 2**20
"""Bytes of an upload that is too large for a picture and for a clip."""

PICTURES: Mapping[str, Any] = MappingProxyType(
    {
        "nothing": None,
        "a number": 7,
        "a text": "picture.png",
        "a list": [[1, 2], [3]],
        "a path": file("/etc/passwd"),
        "a path upwards": file("../../../../etc/passwd"),
        "the app itself": file("app.py"),
        "a path without its mark": {"path": "/etc/passwd"},
        "an address": file("http://169.254.169.254/latest/meta-data/"),
        "an address beside the path": {**file("/tmp/none.png"), "url": "http://127.0.0.1:1/x.png"},
        "an address of a file": file("file:///etc/passwd"),
        "data that is none": {"url": "data:image/png;base64,!!!!", "meta": {"_type": "gradio.FileData"}},
        "a folder": file("/tmp"),
        "a null byte": file("/tmp/\0"),
        "a long path": file("/" + "a" * 10_000),
    }
)
"""What stands where an uploaded picture should be."""

TEXTS: Sequence[Any] = (
    "", " \n\t ", "\0\x01\x1b[31m", "\u202e\u2066\u200b", "<image>" * 500, "<bos><eos><loc0001><seg001>", "a" * 100_000,
    "名" * 3_000, "🏳️‍🌈" * 300, ";" * 5_000, "; ".join(f"thing {number}" for number in range(2_000)),
    "<script>alert(1)</script>", "{{7*7}} ${7*7} %s %n", "'; DROP TABLE x; --", "\ud800", None, 7, True, ["star"],
    {"a": 1},
)  # fmt: skip
"""What stands where a text should be; some of it is answered, and rightly."""

ADDRESSES = (
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file=../../../../etc/passwd",
    "/gradio_api/file=app.py",
    "/gradio_api/file=assets/paligemma2-demo/config.json",
    "/gradio_api/file=%2Fproc%2Fself%2Fenviron",
    "/gradio_api/proxy=http://127.0.0.1:22/",
    "/gradio_api/file=http://127.0.0.1:22/",
    "/static/../../../../etc/passwd",
    "/theme.css/../../app.py",
)
"""What nobody may fetch."""
