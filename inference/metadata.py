"""Takes out of a picture's file what it says about its owner: where and when it was taken, with what, and notes.

Works on the bytes alone, so that no pixel is decoded or changed. Knows the containers of JPEG, PNG, WebP and AVIF;
knows no pixels, and of EXIF only the orientation, which stays, as the colour profile does: without them a browser would
show another picture.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_ORIENTATION_TAG = 0x0112
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What a decoder needs, and nothing that a person wrote or a camera noted.
_PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs acTL fcTL fdAT".split()
)
_WEBP_CHUNKS = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_EXIF_FLAG, _WEBP_XMP_FLAG = 0x08, 0x04
_MOST_PARTS = 100_000
"""More segments, chunks or boxes than a real file of the largest size has; counting on would only take time."""

_MOST_ITEMS = 1000
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # in a scan 0xFF is followed by 0x00 or a restart
_NO_EXIF = b"\0\0\0\0MM\0*\0\0\0\x08\0\0"  # four bytes that say where it begins, and no entries


def without_metadata(content: bytes) -> bytes:
    """The same file without EXIF, XMP, comments and notes.

    What cannot be read to its end is given back as it is: whoever decodes it refuses it. So are GIF, BMP and TIFF,
    whose metadata cannot be cut out without writing the picture anew.

    Args:
        content: Of a file of any kind.
    """
    try:
        if content.startswith(b"\xff\xd8\xff"):
            return b"".join(_jpeg(content))
        if content.startswith(_PNG_SIGNATURE):
            return b"".join(_png(content))
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp(content)
        if content[4:8] == b"ftyp" and any(brand in content[8:64] for brand in (b"avif", b"avis")):
            return _avif(content)
    # Pillow's readers raise nearly anything on hostile bytes, see `inference.images`.
    except Exception:
        return content
    return content


def _jpeg(content: bytes) -> Iterator[bytes]:
    yield content[:2]
    place, turned = 2, False
    for _ in range(_MOST_PARTS):
        if place + 4 > len(content):
            break
        if content[place] != 0xFF:
            raise ValueError("a segment does not begin with a marker")
        marker = content[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == 0xDA:  # the pixels; what comes behind their end are further pictures of a phone, EXIF and all
            end = _end_of_scans(content, place)
            yield content[place:end]
            return
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        segment = content[place:end]
        # APP1 holds EXIF and XMP, APP13 Photoshop's, COM comments; APP0, APP2 with a profile and APP14 tell colours.
        is_profile = marker == 0xE2 and segment[4:16] == b"ICC_PROFILE\0"
        if marker == 0xE1 and segment[4:10] == b"Exif\0\0" and not turned:
            turned = True
            if small := _orientation_only(segment[10:]):
                yield b"\xff\xe1" + struct.pack(">H", len(small) + 8) + b"Exif\0\0" + small
        elif not (0xE1 <= marker <= 0xEF or marker == 0xFE) or is_profile or marker == 0xEE:
            yield segment
        place = end
    raise ValueError("there are no pixels")


def _end_of_scans(content: bytes, place: int) -> int:
    """Behind the end-of-image marker, or the end of a file that was cut off."""
    for _ in range(_MOST_PARTS):
        found = _MARKER.search(content, place)
        if found is None:
            return len(content)
        if found.group() == b"\xff\xd9":
            return found.end()
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    raise ValueError("there are too many segments")


def _png(content: bytes) -> Iterator[bytes]:
    yield content[:8]
    place = 8
    for _ in range(_MOST_PARTS):
        if place + 12 > len(content):
            yield content[place:]  # cut off
            return
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        kind = content[place + 4 : place + 8]
        if kind in _PNG_CHUNKS:
            yield content[place:end]
        elif kind == b"eXIf" and (small := _orientation_only(content[place + 8 : end - 4])):
            yield struct.pack(">I", len(small)) + kind + small + struct.pack(">I", zlib.crc32(kind + small))
        place = end
        if kind == b"IEND":
            return
    raise ValueError("there are too many chunks")


def _webp(content: bytes) -> bytes:
    chunks: list[bytes] = []
    small, place = b"", 12
    for _ in range(_MOST_PARTS):
        if place + 8 > len(content):
            break
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        end = place + 8 + size + size % 2
        kind = content[place : place + 4]
        if kind in _WEBP_CHUNKS:
            chunks.append(content[place:end])
        elif kind == b"EXIF":
            small = _orientation_only(content[place + 8 : place + 8 + size].removeprefix(b"Exif\0\0"))
        place = end
    else:
        raise ValueError("there are too many chunks")
    if small:
        chunks.append(b"EXIF" + struct.pack("<I", len(small)) + small)
    if chunks and chunks[0].startswith(b"VP8X"):
        flags = chunks[0][8] & ~(_WEBP_EXIF_FLAG | _WEBP_XMP_FLAG) | (_WEBP_EXIF_FLAG if small else 0)
        chunks[0] = chunks[0][:8] + bytes([flags]) + chunks[0][9:]
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _avif(content: bytes) -> bytes:
    # The file finds its parts by their places in it, so what they say is overwritten and nothing is moved. AVIF turns
    # pictures by a property of its own, not by EXIF.
    clean = bytearray(content)
    meta, end = next(_boxes(content, 0, len(content), b"meta"))
    boxes = {kind: next(_boxes(content, meta + 4, end, kind)) for kind in (b"iinf", b"iloc")}
    noted = _noted_items(content, *boxes[b"iinf"])
    for item, start, size in _extents(content, boxes[b"iloc"][0]):
        if item in noted:
            empty = _NO_EXIF if noted[item] == b"Exif" else b""
            clean[start : start + size] = empty.ljust(size, b"\0")[:size]
    return bytes(clean)


def _boxes(content: bytes, place: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Where the content of each box of a kind begins and ends."""
    for _ in range(_MOST_PARTS):
        if place + 8 > end:
            return
        size, header = int.from_bytes(content[place : place + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(content[place + 8 : place + 16], "big"), 16
        if size < header:  # 0: up to the end of the file
            size = end - place
        if content[place + 4 : place + 8] == wanted:
            yield place + header, min(place + size, end)
        place += size


def _noted_items(content: bytes, place: int, end: int) -> dict[int, bytes]:
    """The kinds of the items that hold EXIF or XMP, by their numbers."""
    noted = {}
    for start, _ in _boxes(content, place + (6 if content[place] == 0 else 8), end, b"infe"):
        width = 2 if content[start] < 3 else 4
        kind = content[start + 6 + width : start + 10 + width]
        if kind in (b"Exif", b"mime"):
            noted[int.from_bytes(content[start + 4 : start + 4 + width], "big")] = kind
    return noted


def _extents(content: bytes, place: int) -> Iterator[tuple[int, int, int]]:
    """The number of an item, and the place and size of a part of it, for all that lie in the file itself."""
    file = io.BytesIO(content)
    file.seek(place)

    def number(width: int) -> int:
        return int.from_bytes(file.read(width), "big")

    version, _, sizes = number(1), number(3), number(2)
    offset, length, base, index = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    for _ in range(min(number(2 if version < 2 else 4), _MOST_ITEMS)):
        item = number(2 if version < 2 else 4)
        method = number(2) & 15 if version else 0
        number(2)
        start = number(base)
        for _ in range(min(number(2), _MOST_ITEMS)):
            if version:
                number(index)
            place, size = number(offset), number(length)
            if method == 0:
                yield item, start + place, size


def _orientation_only(exif: bytes) -> bytes:
    """EXIF that tells the orientation and nothing else, or nothing where the picture stands upright already.

    Args:
        exif: From its byte order on.
    """
    if not exif.startswith(_TIFF_STARTS):
        return b""
    order = "<" if exif.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(f"{order}I", exif, 4)
    (entries,) = struct.unpack_from(f"{order}H", exif, directory)
    for index in range(entries):
        tag, kind, count, value = struct.unpack_from(f"{order}HHIH", exif, directory + 2 + 12 * index)
        if (tag, kind, count) == (_ORIENTATION_TAG, 3, 1) and 2 <= value <= 8:
            kept = Image.Exif()
            kept[_ORIENTATION_TAG] = value
            return kept.tobytes().removeprefix(b"Exif\0\0")
    return b""
