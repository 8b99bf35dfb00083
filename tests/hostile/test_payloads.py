"""Whatever a client sends to the API over bare HTTP: an answer or a plain sentence comes back."""

from typing import Any

import pytest

from tests.hostile.conftest import is_plain
from tests.hostile.payloads import ENDPOINTS, FILES, LISTS, PICTURES, VALUES

PLACES = [(endpoint, place) for endpoint, values in ENDPOINTS.items() for place in range(1, len(values))]


@pytest.mark.parametrize("endpoint", FILES)
@pytest.mark.parametrize("name", PICTURES)
def test_what_is_no_upload_is_refused_by_a_sentence(endpoint: str, name: str, call: Any) -> None:
    event, told = call(endpoint, [PICTURES[name], *ENDPOINTS[endpoint][1:]])
    assert event == "error"
    assert is_plain(told), told


@pytest.mark.parametrize(("endpoint", "place"), PLACES, ids=[f"{name} {place}" for name, place in PLACES])
def test_any_value_in_any_place_is_answered_or_refused_by_a_sentence(
    endpoint: str, place: int, call: Any, uploaded: dict[Any, Any]
) -> None:
    wrong = {}
    for name, value in VALUES.items():
        file, *others = ENDPOINTS[endpoint]
        right = [uploaded[file], *others]
        event, told = call(endpoint, [*right[:place], value, *right[place + 1 :]])
        if not (event == "complete" or (event == "error" and is_plain(told))):
            wrong[name] = (event, told)
    assert not wrong


@pytest.mark.parametrize("name", LISTS)
def test_what_is_no_list_of_values_is_refused(name: str, call: Any) -> None:
    event, told = call("describe", LISTS[name])
    if event == "refused":  # before it is a call at all; the answer says which field is wrong
        assert told.status_code == 422
        assert "data" in told.text
    else:
        assert event == "error"
        assert is_plain(told), told


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(b"", 422, id="nothing"),
        pytest.param(b"not JSON", 422, id="no JSON"),
        pytest.param(b"[" * 100_000, 400, id="a hundred thousand brackets"),
        pytest.param(b'{"data": [' + b"1," * 500_000 + b"1]}", 200, id="a million numbers"),
        pytest.param(b"\xff\xfe\x00", 400, id="no text"),
    ],
)
def test_a_body_that_is_no_call_is_refused(http: Any, content: bytes, status: int) -> None:
    answer = http.post("call/describe", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=../../../../etc/passwd",
        "file=..%2f..%2f..%2fetc%2fpasswd",
        "file=app.py",
        "file=/proc/self/environ",
        "file=assets/paligemma2-demo/config.json",
        "file=http://127.0.0.1:1/x",
        "proxy=http://127.0.0.1:1/x",
        "stream/x/y/../../../etc/passwd/playlist.m3u8",
        "../static/../../../../../../etc/passwd",
    ],
)
def test_no_file_of_the_server_and_no_other_server_can_be_read(http: Any, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code in (400, 401, 403, 404)
    assert "root:" not in answer.text
