"""Files that nobody should have to open, made by code: bombs, lies, halves, mixtures and rarities, each with a name.

Every case says what must become of it: "opens", "refused", or "either" where both are right.
"""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, PngImagePlugin

Outcome = Literal["opens", "refused", "either"]
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
HTML = b"<!doctype html><script>alert(document.domain)</script>"
ZIP = b"PK\x03\x04\x14\0\0\0\0\0" + bytes(16) + b"\x05\0\0\0a.txt" + b"PK\x05\x06" + bytes(18)


@dataclass(frozen=True, slots=True)
class Case:
    """A file.

    Attributes:
        name: What is odd about it.
        content: Its bytes.
        outcome: What must become of it.
    """

    name: str
    content: bytes
    outcome: Outcome


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    values = np.random.default_rng(7).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(
    width: int = 8,
    height: int = 8,
    *,
    depth: int = 8,
    colour: int = 2,
    interlace: int = 0,
    before: bytes = b"",
    pixels: bytes | None = None,
    after: bytes = b"",
    end: bool = True,
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = zlib.compress(b"\0" * ((width * 3 + 1) * height)) if pixels is None else pixels
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + after
    return b"\x89PNG\r\n\x1a\n" + body + (chunk(b"IEND", b"") if end else b"")


def tiff(*entries: tuple[int, int, int, int], data: bytes = b"", following: int = 0) -> bytes:
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + directory + struct.pack("<I", following) + data


def exif(entries: bytes, count: int) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + entries


def with_exif(blob: bytes) -> bytes:
    plain = encoded(noise(), "JPEG")
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(blob) + 2) + blob + plain[2:]


def riff(*chunks: tuple[bytes, bytes], size: int | None = None) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4 if size is None else size) + b"WEBP" + body


def bmp(
    width: int,
    height: int,
    *,
    bits: int = 24,
    offset: int = 54,
    packing: int = 0,
    header: int = 40,
    data: bytes = bytes(400),
) -> bytes:
    information = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, packing, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, offset) + information + data


def gif(width: int = 8, height: int = 8, *, flags: int = 0x80, frame: bytes | None = None) -> bytes:
    start = b"GIF89a" + struct.pack("<HHBBB", width, height, flags, 0, 0) + (bytes(6) if flags & 0x80 else b"")
    default = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x03\x44\x01\x05\0"
    return start + (default if frame is None else frame) + b";"


def damaged() -> Iterator[Case]:
    """Each format cut, mixed, mended wrongly and renamed."""
    generator = random.Random(5)
    for form in FORMATS:
        whole = encoded(noise(), form)
        for part in (0.03, 0.3, 0.6):
            yield Case(f"{form} cut at {part:.0%}", whole[: max(13, int(len(whole) * part))], "refused")
        yield Case(f"{form} without its last byte", whole[:-1], "either")
        yield Case(f"{form} with a page of HTML behind it", whole + HTML, "opens")
        yield Case(f"{form} with a zip archive behind it", whole + ZIP, "opens")
        yield Case(f"{form} behind a page of HTML", HTML + whole, "refused")
        yield Case(f"{form} behind a zip archive", ZIP + whole, "refused")
        yield Case(f"{form} of zeros behind its signature", whole[:16] + bytes(2000), "refused")
        yield Case(f"{form} of 0xff behind its signature", whole[:16] + b"\xff" * 2000, "either")
        yield Case(f"{form} with its halves swapped", whole[len(whole) // 2 :] + whole[: len(whole) // 2], "refused")
        for number in range(3):
            hurt = bytearray(whole)
            for _ in range(12):
                hurt[generator.randrange(16, len(hurt))] = generator.randrange(256)
            yield Case(f"{form} with 12 wrong bytes, {number + 1}", bytes(hurt), "either")


def bombs() -> Iterator[Case]:
    """Small files that promise much, and files whose headers lie."""
    for width, height in ((0, 0), (0, 8), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (100_000, 100_000), (20_001, 1000)):
        yield Case(f"PNG that says {width} × {height}", png(width, height, pixels=zlib.compress(b"")), "refused")
    for width, height in ((65_535, 65_535), (0, 0), (65_535, 0)):
        yield Case(f"GIF that says {width} × {height}", gif(width, height), "refused")
        whole = bytearray(encoded(noise(), "JPEG"))
        place = whole.index(b"\xff\xc0")
        whole[place + 5 : place + 9] = struct.pack(">HH", height, width)
        yield Case(f"JPEG that says {width} × {height}", bytes(whole), "refused")
    for width, height in ((2**31 - 1, 2**31 - 1), (0, 0), (-8, 8), (40_000, -40_000), (8, -(2**31))):
        yield Case(f"BMP that says {width} × {height}", bmp(width, height), "refused")
    for width, height in ((2**32 - 1, 2**32 - 1), (0, 0), (300_000, 300_000)):
        content = tiff(
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, 8),
            (277, 3, 1, 1),
            (278, 4, 1, height),
            (279, 4, 1, 64),
        )
        yield Case(f"TIFF that says {width} × {height}", content, "refused")
    canvas = struct.pack("<I", 0x02)[:4] + b"\xff\xff\xff" * 2
    yield Case(
        "WebP with a canvas of 16,777,216 × 16,777,216", riff((b"VP8X", canvas), (b"VP8L", bytes(20))), "refused"
    )
    yield Case("PNG of 39 megapixels in 40 kB", png(13_000, 3000), "opens")
    yield Case("PNG of 41 megapixels in 40 kB", png(13_000, 3200), "refused")
    yield Case("PNG whose pixels unpack to 100 MB more", png(pixels=zlib.compress(bytes(10**8), 1)), "either")
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    yield Case("GIF of 2,000 frames", gif(1, 1, frame=frame * 2000), "opens")
    for size, outcome in (
        ((2000, 10), "opens"),
        ((2010, 10), "refused"),
        ((1, 201), "refused"),
        ((1, 200), "opens"),
        ((20_001, 101), "refused"),
        ((1, 1), "opens"),
        ((1, 2), "opens"),
    ):
        yield Case(f"PNG of {size[0]} × {size[1]}", encoded(Image.new("RGB", size)), outcome)


def broken_png() -> Iterator[Case]:
    text_bomb = b"Comment\0\0" + zlib.compress(bytes(80_000_000), 1)
    yield Case("PNG with a text that unpacks to 80 MB", png(before=chunk(b"zTXt", text_bomb)), "either")
    yield Case("PNG with a profile that unpacks to 80 MB", png(before=chunk(b"iCCP", text_bomb)), "either")
    text = b"Note\0\1\0\0\0" + zlib.compress(bytes(80_000_000), 1)
    yield Case("PNG with an international text of 80 MB", png(before=chunk(b"iTXt", text)), "either")
    yield Case("PNG with 5 MB of plain text", png(before=chunk(b"tEXt", b"k\0" + b"x" * 5_000_000)), "either")
    yield Case("PNG with 3,000 text chunks", png(before=chunk(b"tEXt", b"k\0<b>v") * 3000), "opens")
    yield Case(
        "PNG with 7,000 text chunks of a quarter kilobyte",
        png(before=chunk(b"tEXt", b"k\0" + b"x" * 250) * 7000),
        "either",
    )
    yield Case("PNG with a wrong checksum of its header", png().replace(png()[29:33], b"\0\0\0\0", 1), "refused")
    yield Case(
        "PNG with a wrong checksum of its pixels", png(end=False)[:-4] + bytes(4) + chunk(b"IEND", b""), "either"
    )
    yield Case("PNG with a wrong checksum of its EXIF", png(after=chunk(b"eXIf", b"II*\0", crc=1)), "either")
    yield Case("PNG without a header", b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b"x") + chunk(b"IEND", b""), "refused")
    yield Case("PNG without an end", png(end=False), "either")
    yield Case("PNG without pixels", b"\x89PNG\r\n\x1a\n" + png()[8:33] + chunk(b"IEND", b""), "refused")
    yield Case("PNG with two headers", png(before=png(2, 2)[8:33]), "either")
    yield Case("PNG of 3 bits", png(depth=3), "refused")
    yield Case("PNG of colour type 5", png(colour=5), "refused")
    yield Case("PNG with a palette and none", png(colour=3), "either")
    yield Case("PNG with a palette of 7 bytes", png(colour=3, before=chunk(b"PLTE", bytes(7))), "either")
    yield Case("PNG with a palette of 9,000 colours", png(colour=3, before=chunk(b"PLTE", bytes(27_000))), "either")
    yield Case("PNG with a transparency of 500 bytes", png(before=chunk(b"tRNS", bytes(500))), "either")
    yield Case("PNG with an empty transparency", png(before=chunk(b"tRNS", b"")), "either")
    yield Case("PNG with an unknown interlacing", png(interlace=9), "either")
    yield Case("PNG interlaced and cut", png(64, 64, interlace=1, pixels=zlib.compress(bytes(99))), "refused")
    yield Case("PNG whose pixels are no zlib stream", png(pixels=b"not zlib"), "refused")
    yield Case("PNG with a chunk of 4 GB", png(before=b"\xff\xff\xff\xfftEXt"), "refused")
    yield Case("PNG with a critical chunk of nobody", png(before=chunk(b"EVIL", b"1")), "either")
    yield Case("PNG with a chunk whose name is no text", png(before=chunk(b"\0\1\2\3", b"1")), "either")
    yield Case("PNG with an animation of 4 billion frames", png(before=chunk(b"acTL", b"\xff" * 8)), "either")
    control = struct.pack(">IIIIIHHBB", 0, 999, 999, 9, 9, 0, 0, 0, 0)
    animated = chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", control)
    yield Case("PNG with a frame outside the picture", png(before=animated), "either")
    yield Case("PNG with EXIF that turns for ever", png(before=chunk(b"eXIf", exif(b"", 65_535)[6:])), "either")
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "<script>alert(1)</script>")
    yield Case("PNG by an author of script", encoded(noise(), pnginfo=notes), "opens")
    yield Case("PNG with script for pixels", png(pixels=HTML), "refused")


def broken_others() -> Iterator[Case]:
    whole = encoded(noise(), "JPEG")
    yield Case("JPEG of two bytes", b"\xff\xd8", "refused")
    yield Case("JPEG of a start and an end", b"\xff\xd8\xff\xd9", "refused")
    yield Case("JPEG of markers without an end", b"\xff\xd8" + b"\xff\xe0\0\2" * 50_000, "refused")
    yield Case("JPEG of fill bytes", b"\xff\xd8" + b"\xff" * 1_000_000, "refused")
    for component in (0, 255):
        hurt = bytearray(whole)
        hurt[hurt.index(b"\xff\xc0") + 9] = component
        yield Case(f"JPEG of {component} components", bytes(hurt), "refused")
    for marker, what in ((b"\xff\xc4", "Huffman tables"), (b"\xff\xdb", "quantisation tables"), (b"\xff\xda", "scans")):
        yield Case(f"JPEG without {what}", whole.replace(marker, b"\xff\xef"), "either")
    yield Case("JPEG with a table longer than the file", whole.replace(b"\xff\xdb\0C", b"\xff\xdb\xff\xff"), "refused")
    yield Case("JPEG of another coding", whole.replace(b"\xff\xc0", b"\xff\xc9"), "either")
    yield Case(
        "JPEG with 3 MB of comments", whole[:2] + (b"\xff\xfe\xff\xff" + b"<" * 65_533) * 48 + whole[2:], "opens"
    )
    profile = b"\xff\xe2\xff\xffICC_PROFILE\0\1\xff" + bytes(65_519)
    yield Case("JPEG with 5 MB of colour profiles", whole[:2] + profile * 80 + whole[2:], "either")
    progressive = encoded(noise(size=(256, 256)), "JPEG", progressive=True)
    scans = progressive[progressive.index(b"\xff\xda") : -2]
    yield Case("JPEG of 400 scans", progressive[:-2] + scans * 400 + progressive[-2:], "either")
    for value in (0, 9, 255, 65_535):
        entry = struct.pack("<HHIHH", 0x0112, 3, 1, value, 0)
        yield Case(f"JPEG with orientation {value}", with_exif(exif(entry, 1) + bytes(4)), "opens")
    text_entry = struct.pack("<HHI4s", 0x0112, 2, 4, b"six\0")
    yield Case("JPEG with an orientation in words", with_exif(exif(text_entry, 1) + bytes(4)), "opens")
    many = struct.pack("<HHIHH", 0x0112, 3, 2**31, 6, 0)
    yield Case("JPEG with two billion orientations", with_exif(exif(many, 1) + bytes(4)), "opens")
    loop = struct.pack("<HHII", 0x8769, 4, 1, 8)
    yield Case("JPEG with EXIF that contains itself", with_exif(exif(loop, 1) + struct.pack("<I", 8)), "opens")
    yield Case("JPEG with EXIF of 65,535 entries", with_exif(exif(b"", 65_535)), "opens")
    yield Case("JPEG with EXIF that lies elsewhere", with_exif(b"Exif\0\0II*\0\xff\xff\xff\x7f"), "opens")
    packet = b"http://ns.adobe.com/xap/1.0/\0<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>"
    yield Case("JPEG with XMP that asks for a file", with_exif(packet), "opens")
    nested = b"".join(b'<!ENTITY a%d "&a%d;&a%d;&a%d;">' % (n, n - 1, n - 1, n - 1) for n in range(1, 30))
    packet = b"http://ns.adobe.com/xap/1.0/\0<!DOCTYPE x [<!ENTITY a0 'ha'>" + nested + b"]><x>&a29;</x>"
    yield Case("JPEG with XMP that unfolds for ever", with_exif(packet), "opens")

    yield Case("GIF without colours", gif(flags=0), "either")
    yield Case("GIF without a frame", gif(frame=b""), "refused")
    far = b"," + struct.pack("<HHHHB", 60_000, 60_000, 5_000, 5_000, 0) + b"\x02\x03\x44\x01\x05\0"
    yield Case("GIF with a frame far outside", gif(frame=far), "refused")
    huge = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x03\x44\x01\x05\0"
    yield Case("GIF with a frame larger than itself", gif(frame=huge), "refused")
    for bits in (0, 12, 255):
        frame = b"," + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + bytes([bits]) + b"\x03\x44\x01\x05\0"
        yield Case(f"GIF with codes of {bits} bits", gif(frame=frame), "either")
    frame = b"," + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + b"\x02" + b"\xff" * 256 * 200
    yield Case("GIF without an end of its data", gif(frame=frame), "either")
    yield Case("GIF of extensions only", gif(frame=b"!\xfe\x01x\0" * 20_000), "refused")
    yield Case("GIF that a browser may take for script", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)", "refused")

    for bits in (0, 7, 64, 65_535):
        yield Case(f"BMP of {bits} bits", bmp(8, 8, bits=bits), "refused")
    yield Case("BMP whose pixels begin behind its end", bmp(8, 8, offset=2**31), "refused")
    yield Case("BMP with a header of 4 GB", bmp(8, 8, header=2**32 - 1), "refused")
    yield Case("BMP with a header of no bytes", bmp(8, 8, header=0), "refused")
    yield Case("BMP packed in an unknown way", bmp(8, 8, packing=77), "refused")
    yield Case("BMP whose runs leave the picture", bmp(8, 8, bits=8, packing=1, data=b"\xff\1" * 500), "either")
    yield Case("BMP whose runs jump about", bmp(8, 8, bits=8, packing=1, data=b"\0\2\xff\xff" * 500), "either")

    size = ((256, 4, 1, 8), (257, 4, 1, 8))
    plain = (*size, (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (279, 4, 1, 64))
    yield Case("TIFF without entries", tiff(), "refused")
    yield Case("TIFF whose pages go in a circle", tiff(*plain, data=bytes(64), following=8), "either")
    yield Case("TIFF whose directory lies behind its end", b"II*\0\xff\xff\xff\xff", "refused")
    yield Case("TIFF of 65,535 entries and none", b"II*\0\x08\0\0\0\xff\xff", "refused")
    yield Case("TIFF packed in an unknown way", tiff(*size, *plain[2:3], (259, 3, 1, 4242), *plain[4:]), "refused")
    yield Case("TIFF of 65,535 samples", tiff(*plain[:6], (277, 3, 1, 65_535), plain[7]), "refused")
    yield Case("TIFF with four billion strips", tiff(*plain[:5], (273, 4, 2**32 - 1, 8), *plain[6:]), "refused")
    yield Case("TIFF with strips behind its end", tiff(*plain[:5], (273, 4, 1, 2**31), *plain[6:]), "either")
    yield Case("TIFF of tiles of no size", tiff(*plain[:5], (322, 4, 1, 0), (323, 4, 1, 0), (324, 4, 1, 8)), "refused")
    for packing, what in ((2, "fax"), (5, "LZW"), (7, "JPEG"), (8, "deflate"), (50_000, "zstd"), (34_925, "LZMA")):
        entries = (*plain[:3], (259, 3, 1, packing), *plain[4:])
        yield Case(f"TIFF with rubbish for {what}", tiff(*entries, data=b"\x99rubbish" * 9), "either")
    yield Case("BigTIFF of rubbish", b"II+\0\x08\0\0\0" + b"\x77" * 64, "refused")
    for form in ("group4", "tiff_lzw", "packbits", "tiff_adobe_deflate"):
        whole = encoded(noise("1" if form == "group4" else "RGB"), "TIFF", compression=form)
        yield Case(f"TIFF packed by {form}", whole, "opens")
        yield Case(f"TIFF packed by {form}, hurt", whole[:40] + b"\xaa" * 60 + whole[100:], "either")

    yield Case("WebP of no chunks", riff(), "refused")
    yield Case("WebP that says it has 4 GB", riff((b"VP8 ", bytes(30)), size=2**32 - 1), "refused")
    yield Case("WebP that says it has nothing", riff((b"VP8L", bytes(30)), size=0), "refused")
    whole = encoded(noise(), "WEBP")
    yield Case("WebP of 20,000 unknown chunks", riff(*[(b"EVIL", b"")] * 20_000), "refused")
    yield Case(
        "WebP with a frame and no animation", riff((b"VP8X", b"\x02" + bytes(9)), (b"ANMF", bytes(40))), "refused"
    )
    yield Case("AVIF of a name only", b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "refused")
    yield Case("AVIF with a box of no size", b"\0\0\0\x18ftypavif\0\0\0\0avifmif1\0\0\0\0meta" + bytes(99), "refused")
    yield Case(
        "AVIF in boxes in boxes", b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + b"\0\0\xff\xffmeta\0\0\0\0" * 500, "refused"
    )


def rarities() -> Iterator[Case]:
    """Strange, but pictures."""
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        image = Image.new(mode, (9, 7)) if mode == "I;16" else noise(mode)
        yield Case(f"PNG of mode {mode}", encoded(image, "PNG"), "opens")
    for mode in ("CMYK", "LAB", "YCbCr", "F", "I", "I;16", "I;16B", "RGBA", "LA"):
        image = Image.new(mode, (9, 7)) if mode in ("LAB", "F", "I", "I;16", "I;16B") else noise(mode)
        yield Case(f"TIFF of mode {mode}", encoded(image, "TIFF"), "either" if mode == "YCbCr" else "opens")
    for name, values in (
        ("nothing but NaN", [np.nan] * 4),
        ("infinity", [np.inf, -np.inf, 0, 1]),
        ("3e38", [3e38] * 4),
    ):
        image = Image.fromarray(np.asarray([values], dtype=np.float32))
        yield Case(f"TIFF of {name}", encoded(image, "TIFF"), "opens")
    yield Case("CMYK JPEG", encoded(noise("CMYK"), "JPEG"), "opens")
    yield Case("PNG of 16 bits", encoded(Image.fromarray(np.full((4, 4), 40_000, np.uint16))), "opens")
    yield Case("GIF that is see-through and turned", encoded(noise("P"), "GIF", transparency=0), "opens")
    for form in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        later = [noise().rotate(180), noise("L").convert("RGB")]
        yield Case(f"{form} of three frames", encoded(noise(), form, save_all=True, append_images=later), "opens")
    later = [noise(size=(90, 5)), noise(size=(3, 70))]
    yield Case("TIFF of pages of several sizes", encoded(noise(), "TIFF", save_all=True, append_images=later), "opens")
    entry = Image.Exif()
    entry[0x0112] = 6
    entry[0x010E] = "$(reboot); DROP TABLE pictures; <img src=x onerror=alert(1)>"
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        yield Case(f"{form} with a description of commands", encoded(noise(), form, exif=entry), "opens")


def other_files() -> Iterator[Case]:
    """What is no picture, or none that is allowed."""
    files = {
        "nothing": b"",
        "one byte": b"\x89",
        "zeros": bytes(5000),
        "a newline": b"\n",
        "HTML": HTML,
        "a zip archive": ZIP,
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "SVG that asks for a file": b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
        "SVG behind a byte order mark": b"\xef\xbb\xbf<svg/>",
        "packed SVG": b"\x1f\x8b\x08" + bytes(40),
        "PDF": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run",
        "PostScript in a wrapper": b"\xc5\xd0\xd3\xc6" + bytes(40),
        "a program for Linux": b"\x7fELF\x02\x01\x01" + bytes(60),
        "a program for Windows": b"MZ" + bytes(60),
        "a shell script": b"#!/bin/sh\nrm -rf /",
        "Python": b"import os; os.abort()",
        "a pickle": b"\x80\x04cos\nsystem\n(S'id'\ntR.",
        "JSON": b'{"path": "/etc/passwd"}',
        "XML": b"<?xml version='1.0'?><x/>",
        "HEIC": b"\0\0\0\x18ftypheic" + bytes(40),
        "MP4": b"\0\0\0\x18ftypisom" + bytes(40),
        "MP3": b"ID3\x04" + bytes(40),
        "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
        "an icon": b"\0\0\1\0\1\0" + bytes(40),
        "a Photoshop file": b"8BPS\0\1" + bytes(40),
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "JPEG XL": b"\xff\x0a" + bytes(40),
        "FITS": b"SIMPLE  =" + bytes(80),
        "WMF": b"\xd7\xcd\xc6\x9a" + bytes(40),
        "XBM": b"#define w_width 8\n",
        "PCX": b"\n\x05\1\x08" + bytes(124),
        "UTF-16 text": "GIF89a".encode("utf-16"),
        "a PNG turned by e-mail": b"\x89PNG\n\x1a\n" + bytes(40),
        "a picture in base64": b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB",
        "a data address": b"data:image/png;base64,iVBORw0KGgo=",
        "PPM": encoded(noise(), "PPM"),
        "TGA": encoded(noise(), "TGA"),
        "DDS": encoded(noise("RGBA"), "DDS"),
    }
    for name, content in files.items():
        yield Case(f"no picture: {name}", content, "refused")


def all_cases() -> list[Case]:
    """Every file, in a fixed order."""
    makers = (damaged, bombs, broken_png, broken_others, rarities, other_files)
    return [case for maker in makers for case in maker()]
