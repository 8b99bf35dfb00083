"""Frames of clips: evenly spaced and upright, or one sentence why there are none."""

import io
import json
import random
import struct
import zipfile
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from inference.errors import InvalidVideo
from inference.types import Detection, Result
from inference.video import ClipLimits, open_clip
from tests.support.clips import claim_samples, make_clip, place_of
from ui.thread import Kept
from ui.video import Transcript, zip_of

SENTENCE = r"^[A-Z][^\n]*\.$"


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        pytest.param("clip.mp4", "libx264", id="H.264 in MP4, as phones write it"),
        pytest.param("clip.mp4", "libx265", id="H.265 in MP4"),
        pytest.param("clip.mp4", "mpeg4", id="MPEG-4 in MP4"),
        pytest.param("clip.mov", "libx264", id="MOV"),
        pytest.param("clip.mkv", "libx264", id="Matroska"),
        pytest.param("clip.webm", "libvpx-vp9", id="VP9 in WebM, as browsers record it"),
        pytest.param("clip.webm", "libvpx", id="VP8 in WebM"),
        pytest.param("clip.avi", "mjpeg", id="Motion JPEG in AVI, as old cameras write it"),
    ],
)
def test_the_frames_of_a_clip_are_evenly_spaced_from_its_beginning(tmp_path: Path, name: str, codec: str) -> None:
    clip = open_clip(make_clip(tmp_path / name, frames=20, codec=codec, sound=name == "clip.mp4"))
    frames = list(clip.frames(4))
    assert clip.seconds == pytest.approx(2.0, abs=0.11)
    assert [frame.time for frame in frames] == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.11)
    places = [place_of(frame.image)[0] for frame in frames if frame.image]
    assert places == pytest.approx([0.08, 0.29, 0.50, 0.71], abs=0.06)


@pytest.mark.parametrize("group", [1, 5, 1000], ids=["each by itself", "groups of five", "one group"])
@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_how_pictures_depend_on_each_other_makes_no_difference(tmp_path: Path, group: int, count: int) -> None:
    clip = open_clip(make_clip(tmp_path / "clip.mp4", codec="libx264", g=str(group)))
    frames = list(clip.frames(count))
    assert len(frames) == count
    # 20 pictures, of which the square's left edge is at 0, 1/20, 2/20 … of its way.
    wanted = [(number * 20 // count) / 20 * (160 - 24) / 160 + 12 / 160 for number in range(count)]
    assert [place_of(frame.image)[0] for frame in frames if frame.image] == pytest.approx(wanted, abs=0.02)


def test_a_clip_with_fewer_pictures_than_wanted_gives_each_once(tmp_path: Path) -> None:
    frames = list(open_clip(make_clip(tmp_path / "clip.mp4", frames=3)).frames(8))
    assert [round(frame.time, 2) for frame in frames] == [0.0, 0.1, 0.2]


def test_what_was_cut_off_a_clip_without_encoding_it_again_is_not_there(tmp_path: Path) -> None:
    whole, cut = make_clip(tmp_path / "clip.mp4", frames=100, codec="libx264", g="50", bf="0"), tmp_path / "cut.mp4"
    with av.open(whole) as source, av.open(cut, "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                begin = int(3 / packet.time_base)  # what is before it stays in the file, for the pictures after it
                packet.pts, packet.dts, packet.stream = packet.pts - begin, packet.dts - begin, copy
                target.mux(packet)
    clip = open_clip(cut)
    frames = list(clip.frames(7))
    assert clip.seconds == pytest.approx(7.0, abs=0.11)
    assert [frame.time for frame in frames] == pytest.approx(range(7), abs=0.11)
    wanted = [(30 + 10 * number) / 100 * (160 - 24) / 160 + 12 / 160 for number in range(7)]
    assert [place_of(frame.image)[0] for frame in frames if frame.image] == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize(
    ("pixel", "size"),
    [
        pytest.param(Fraction(2), (320, 120), id="wide"),
        pytest.param(Fraction(1, 2), (80, 120), id="narrow"),
        pytest.param(Fraction(100), (640, 120), id="wider than any"),
    ],
)
def test_a_frame_has_square_pixels(tmp_path: Path, pixel: Fraction, size: tuple[int, int]) -> None:
    frame = next(open_clip(make_clip(tmp_path / "clip.mp4", pixel=pixel)).frames(1))
    assert frame.image is not None
    assert frame.image.size == size


@pytest.mark.parametrize(
    ("rotation", "size", "corner"),
    [
        pytest.param(0, (160, 120), (0.08, 0.17), id="as it is"),
        pytest.param(90, (120, 160), (0.17, 0.92), id="turned left"),
        pytest.param(-90, (120, 160), (0.83, 0.08), id="turned right, as a phone held upright"),
        pytest.param(180, (160, 120), (0.92, 0.83), id="upside down"),
    ],
)
def test_a_clip_is_turned_as_its_header_says(
    tmp_path: Path, rotation: int, size: tuple[int, int], corner: tuple[float, float]
) -> None:
    frame = next(open_clip(make_clip(tmp_path / "clip.mp4", rotation=rotation)).frames(1))
    assert frame.image is not None
    assert frame.image.size == size
    assert place_of(frame.image) == pytest.approx(corner, abs=0.03)


def test_large_frames_are_made_smaller(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=2, size=(1920, 1080))
    frame = next(open_clip(path, ClipLimits(max_side=640)).frames(1))
    assert frame.image is not None
    assert frame.image.size == (640, 360)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        pytest.param(ClipLimits(max_seconds=0.5), "lasts 2.0 seconds; at most 0.5", id="too long"),
        pytest.param(ClipLimits(max_megabytes=0.001), "at most 0.001 MB", id="too many bytes"),
        pytest.param(
            ClipLimits(max_megapixels=0.01), "160 × 120 pixels; at most 0.01 megapixels", id="too many pixels"
        ),
        pytest.param(ClipLimits(max_megapixels=0.001), "far too large; at most 0.001 megapixels", id="far too many"),
        pytest.param(ClipLimits(max_seconds=2, max_rate=5), "more than 10 frames", id="too many frames"),
    ],
)
def test_a_clip_beyond_the_limits_is_refused_before_it_is_decoded(
    tmp_path: Path, limits: ClipLimits, words: str
) -> None:
    with pytest.raises(InvalidVideo, match=SENTENCE) as refused:
        open_clip(make_clip(tmp_path / "clip.mp4"), limits)
    assert words in str(refused.value)


@pytest.mark.parametrize("claimed", [1, 2**31], ids=["too short", "too long"])
def test_a_length_is_counted_and_not_believed(tmp_path: Path, claimed: int) -> None:
    path = make_clip(tmp_path / "clip.mp4")
    content = bytearray(path.read_bytes())
    for name, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        struct.pack_into(">I", content, content.find(name) + offset, claimed)
    path.write_bytes(content)
    assert open_clip(path).seconds == pytest.approx(2.0)
    with pytest.raises(InvalidVideo, match=r"lasts 2\.0 seconds"):
        open_clip(path, ClipLimits(max_seconds=0.5))


def sound_alone(path: Path) -> Path:
    return make_clip(path, frames=0, sound=True)


def cut_short(path: Path) -> Path:
    content = make_clip(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def nothing_coded(path: Path) -> Path:
    content = make_clip(path, frames=1).read_bytes()
    place = content.find(b"stsz")
    path.write_bytes(content[: place + 12] + struct.pack(">I", 0) + content[place + 16 :])
    return path


def playlist(path: Path) -> Path:
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    return path


def listed(path: Path) -> Path:
    path.write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    return path


def text(path: Path) -> Path:
    path.write_text("not a clip")
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def picture(path: Path) -> Path:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def missing(path: Path) -> Path:
    return path


def bomb(path: Path) -> Path:
    # libav would make room for each of the samples that the tables claim: seven gigabytes, from a few bytes.
    return claim_samples(make_clip(path), 100_000_000)


def boxes(path: Path) -> Path:
    path.write_bytes(make_clip(path).read_bytes() + struct.pack(">I4s", 8, b"free") * 100_000)
    return path


def tables(path: Path) -> Path:
    content = (b"trun" + bytes(8)) * 100_000
    path.write_bytes(make_clip(path).read_bytes() + struct.pack(">I4s", 8 + len(content), b"free") + content)
    return path


def unusual(path: Path) -> Path:
    return make_clip(path, codec="ffv1")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (sound_alone, "clip.mp4"), (cut_short, "clip.mp4"), (nothing_coded, "clip.mp4"),
        (playlist, "clip.mp4"), (listed, "clip.mp4"), (text, "clip.mp4"), (empty, "clip.mp4"), (picture, "clip.mp4"),
        (folder, "clip.mp4"), (missing, "clip.mp4"), (bomb, "clip.mp4"), (boxes, "clip.mp4"),
        (tables, "clip.mp4"), (unusual, "clip.mkv"),
    ],
)  # fmt: skip
def test_what_is_no_clip_gets_one_sentence(tmp_path: Path, make: object, name: str) -> None:
    path = make(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(InvalidVideo, match=SENTENCE):
        open_clip(path)


def test_a_live_stream_of_a_fragment_for_each_picture_and_bit_of_sound_is_read(tmp_path: Path) -> None:
    whole, live = make_clip(tmp_path / "clip.mp4", frames=240, rate=240, sound=True), tmp_path / "live.mp4"
    with av.open(whole) as source, av.open(live, "w", options={"movflags": "frag_every_frame+empty_moov"}) as target:
        copies = [target.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    assert live.read_bytes().count(b"moof") > 280
    assert open_clip(live, ClipLimits(max_seconds=1)).seconds == pytest.approx(1, abs=0.05)


def test_a_clip_that_takes_too_long_to_decode_says_so(tmp_path: Path) -> None:
    clip = open_clip(make_clip(tmp_path / "clip.mp4"), ClipLimits(patience=0))
    assert [str(frame.error) for frame in clip.frames(2)] == [
        "Decoding this video takes too long; a smaller or shorter one may work."
    ] * 2


def test_a_damaged_frame_leaves_the_others(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", codec="libx264", g="1")
    clip = open_clip(path)
    content = bytearray(path.read_bytes())
    media = content.find(b"mdat") + 4
    end = int.from_bytes(content[media - 8 : media - 4], "big") + media - 8
    middle = media + (end - media) * 2 // 5
    content[middle : middle + (end - media) // 5] = bytes((end - media) // 5)
    path.write_bytes(content)
    frames = list(clip.frames(20))
    assert len(frames) == 20
    assert all((frame.image is None) == (frame.error is not None) for frame in frames)
    assert any(frame.error is not None for frame in frames)
    assert frames[0].image is not None
    assert frames[-1].image is not None


@pytest.mark.parametrize("seed", range(8))
def test_broken_bytes_raise_nothing_but_a_sentence(tmp_path: Path, seed: int) -> None:
    random_bytes = random.Random(seed)
    path = make_clip(tmp_path / "clip.mp4", codec="libx264")
    original = path.read_bytes()
    for _ in range(25):
        content = bytearray(original)
        for _ in range(random_bytes.choice([1, 5, 60])):
            content[random_bytes.randrange(len(content))] = random_bytes.randrange(256)
        path.write_bytes(content)
        with suppress(InvalidVideo):
            frames = list(open_clip(path).frames(3))
            assert all(later.time > earlier.time for earlier, later in pairwise(frames))


def test_however_long_the_name_of_a_clip_is_its_files_name_its_frames(tmp_path: Path) -> None:
    path = make_clip(tmp_path / f"{'x' * 150}.mp4")
    found = Result("detect", "m", "detect cat", "", "", 160, 120, detections=(Detection("cat", (1, 2, 30, 40)),))
    answers = {time: Kept.of(found, picture=str(path), question="", device="") for time in (0.0, 1.0)}
    packed = zip_of(Transcript(str(path), 2, 2.0, dict(answers)), ClipLimits(), language="en")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        frames = [Path(name).name for name in archive.namelist() if name.startswith("frames/")]
        named = [image["file_name"] for image in json.loads(archive.read("coco.json"))["images"]]
        results = [Path(name).stem for name in archive.namelist() if name.startswith("json/")]
    assert len(frames) == 2
    assert named == frames
    assert results == [Path(name).stem for name in frames]
