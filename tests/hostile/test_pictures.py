"""Every hostile file through the same way as an upload: it opens or is refused as it should, and soon."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from inference.errors import InvalidPicture
from inference.images import open_picture
from inference.metadata import without_metadata
from tests.hostile.conftest import PATIENCE, is_plain
from tests.hostile.payloads import MARK
from tests.hostile.pictures import HTML, Case, all_cases, encoded, noise, png

CASES = {case.name: case for case in all_cases()}
ROOT = Path(__file__).parents[2]
OVER_HTTP = [name for number, name in enumerate(CASES) if number % 6 == 0 and len(CASES[name].content) < 2 * 2**20]


def outcome(source: bytes | str | Path) -> str:
    """ "opens" or "refused"; fails where a refusal is no plain sentence, or takes long."""
    begin = time.perf_counter()
    picture, message = None, ""
    try:
        picture = open_picture(source)
    except InvalidPicture as error:
        message = str(error)
    assert time.perf_counter() - begin < PATIENCE
    if picture is None:
        assert is_plain(message), message
        return "refused"
    assert (picture.mode, picture.info) == ("RGB", {})
    return "opens"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of broken metadata
def test_a_file_opens_or_is_refused_as_it_should(case: Case) -> None:
    assert outcome(case.content) in ({"opens", "refused"} if case.outcome == "either" else {case.outcome})


def test_a_warning_that_a_process_makes_an_error_is_no_other_exception() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in CASES.values():
            with contextlib.suppress(InvalidPicture):
                open_picture(case.content)


OPEN_ALL = """
import contextlib, resource, sys
from pathlib import Path
from inference.errors import InvalidPicture
from inference.images import open_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in Path(sys.argv[1]).iterdir():
    with contextlib.suppress(InvalidPicture):
        open_picture(path.read_bytes())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
"""


def test_no_bomb_takes_much_memory(tmp_path: Path) -> None:
    bombs = [case for case in CASES.values() if re.search("that says|unpack|megapixels|text of 80 MB", case.name)]
    assert len(bombs) > 20
    for number, case in enumerate(bombs):
        (tmp_path / str(number)).write_bytes(case.content)
    # In a process of its own: the peak of this one is that of all tests before.
    megabytes = subprocess.run(
        [sys.executable, "-c", OPEN_ALL, tmp_path], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert int(megabytes) < 400, "the largest that is allowed takes 230"


@pytest.mark.filterwarnings("ignore")
def test_taking_metadata_out_changes_no_outcome_and_no_pixel() -> None:
    for case in CASES.values():
        cleaned = without_metadata(case.content)
        if cleaned == case.content:
            continue
        try:
            before = open_picture(case.content)
        except InvalidPicture:
            continue
        assert open_picture(cleaned).tobytes() == before.tobytes(), case.name


@pytest.mark.parametrize("marker", [0xE1, 0xED, 0xFE], ids=["XMP", "Photoshop's", "a comment"])
def test_what_a_photograph_says_beside_its_pixels_is_taken_out(marker: int) -> None:
    said = b"http://ns.adobe.com/xap/1.0/\0 taken at 48.2 N 16.4 E"
    plain = encoded(noise(), "JPEG")
    photograph = plain[:2] + bytes([0xFF, marker]) + (len(said) + 2).to_bytes(2, "big") + said + plain[2:]
    assert said not in without_metadata(photograph)


@pytest.fixture
def odd_files(tmp_path: Path) -> Iterator[dict[str, tuple[str, str]]]:
    """Sources that are no plain files or have odd names: what they are -> where, and what must become of it."""
    whole = encoded(noise(), "PNG")
    named = {
        "a name with a line break": "a\nb.png",
        "a name in bidi": "\u202egnp.exe",
        "a name of emoji": "👨‍👩‍👧🦀.png",
        "a name of 250 letters": "x" * 246 + ".png",
        "a name of quotes": "\"'`$(id);&|<>*?.png",
        "a name that is no text": os.fsdecode(b"\xff\xfe.png"),
        "a name of dots": "...",
        "a name that looks like a flag": "-rf.png",
        "a wrong ending": "picture.exe",
        "two endings": "picture.php.jpg",
    }
    for name in named.values():
        (tmp_path / name).write_bytes(whole)
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "good link").symlink_to(tmp_path / "-rf.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        yield {name: (str(tmp_path / file), "opens") for name, file in named.items()} | {
            "a link to a text": (str(tmp_path / "link"), "refused"),
            "a link to a picture": (str(tmp_path / "good link"), "opens"),
            "a link to itself": (str(tmp_path / "loop"), "refused"),
            "a link to nothing": (str(tmp_path / "lost"), "refused"),
            "a pipe that nobody writes to": (str(tmp_path / "pipe"), "refused"),
            "a socket": (str(tmp_path / "socket"), "refused"),
            "a folder": (str(tmp_path), "refused"),
            "endless zeros": ("/dev/zero", "refused"),
            "endless chance": ("/dev/urandom", "refused"),
            "the terminal": ("/dev/stdin", "refused"),
            "the process's memory": ("/proc/self/mem", "refused"),
            "the kernel's log": ("/proc/kmsg", "refused"),
            "passwords": ("/etc/passwd", "refused"),
            "a null": ("a\0b", "refused"),
            "a name of a megabyte": ("x" * 1_000_000, "refused"),
            "a lone surrogate": ("\ud800", "refused"),
            "nothing": ("", "refused"),
            "a web address": ("http://127.0.0.1:1/x.png", "refused"),
        }


def test_odd_names_and_what_is_no_plain_file(odd_files: dict[str, tuple[str, str]]) -> None:
    assert {name: outcome(source) for name, (source, _) in odd_files.items()} == {
        name: expected for name, (_, expected) in odd_files.items()
    }


@pytest.mark.parametrize("name", OVER_HTTP)
def test_an_upload_is_answered_or_refused_by_a_sentence(name: str, http: httpx.Client, call: Any) -> None:
    case = CASES[name]
    answer = http.post("upload", files={"files": ("picture.png", case.content)})
    assert answer.status_code == 200
    event, told = call("read_text", [{"path": answer.json()[0], "meta": MARK}, False, ""])
    assert event == {"opens": "complete", "refused": "error"}.get(case.outcome, event)
    assert event == "complete" or is_plain(told), told


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../../../etc/cron.d/x.png", id="a way up"),
        pytest.param("..\\..\\x.png", id="a way up with backslashes"),
        pytest.param("/etc/passwd", id="a path"),
        pytest.param("x" * 3000 + ".png", id="3,000 letters"),
        pytest.param("a\tb;c=d.png", id="a tab"),
        pytest.param("<img src=x onerror=alert(1)>.png", id="HTML"),
        pytest.param("\u202egnp.exe", id="bidi"),
        pytest.param("👨‍👩‍👧.png", id="emoji"),
        pytest.param("CON.png", id="a device of Windows"),
        pytest.param(".htaccess", id="a hidden file"),
        pytest.param("%00.png", id="a null in percent"),
        pytest.param("page.html", id="a page"),
        pytest.param("drawing.svg", id="a drawing"),
    ],
)
def test_an_upload_lies_in_the_folder_of_uploads_whatever_its_name(name: str, http: httpx.Client, call: Any) -> None:
    answer = http.post("upload", files={"files": (name, png())})
    if answer.status_code != 200:
        assert answer.status_code == 400
        return
    path = Path(answer.json()[0])
    assert path.resolve().is_relative_to(os.environ["GRADIO_TEMP_DIR"])
    event, _ = call("read_text", [{"path": str(path), "meta": MARK}, False, ""])
    assert event == "complete"


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "script.js", "picture.png", "x.xml"])
def test_what_is_uploaded_is_never_served_as_a_page(name: str, http: httpx.Client) -> None:
    path = http.post("upload", files={"files": (name, HTML)}).json()[0]
    served = http.get(f"file={path}")
    kind = served.headers["content-type"]
    assert kind.startswith("image/png") or "attachment" in served.headers["content-disposition"], kind
    assert "image/svg" not in kind
    assert "text/html" not in kind


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_what_is_served_back_does_not_say_where_it_was_taken(form: str, http: httpx.Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "my home"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.0)})
    content = encoded(noise(), form, exif=exif)
    assert b"my home" in content
    path = http.post("upload", files={"files": ("phone.jpg", content)}).json()[0]
    served = http.get(f"file={path}").content
    assert b"my home" not in served
    assert open_picture(served).tobytes() == open_picture(content).tobytes()
    assert open_picture(served).size == (32, 48)
