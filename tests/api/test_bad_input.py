"""Whatever comes in: a plain sentence goes out, never a traceback or a generic message."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.conftest import Served

UPLOAD = "Upload the file first"


def refusal(client: Client, *values: Any, api_name: str, **fields: Any) -> str:
    with pytest.raises(AppError) as caught:
        client.predict(*values, **fields, api_name=api_name)
    message = str(caught.value)
    assert "Traceback" not in message
    assert "upstream Gradio app" not in message
    return message


@pytest.mark.parametrize(
    ("endpoint", "fields", "sentence"),
    [
        pytest.param("/answer", {"question": ""}, "Type a question about the picture.", id="empty question"),
        pytest.param("/answer", {"question": " \n\t "}, "Type a question about the picture.", id="blank question"),
        pytest.param("/answer", {"question": None}, "Type a question about the picture.", id="null question"),
        pytest.param("/ask", {"answer": ""}, "Type the answer", id="empty answer"),
        pytest.param("/detect", {"objects": " ; ; "}, "Name at least one thing", id="objects without names"),
        pytest.param("/segment", {"objects": ""}, "Name at least one thing", id="no objects"),
        pytest.param("/prompt", {"prompt": ""}, "Type a prompt", id="empty prompt"),
        pytest.param("/answer", {"question": "why " * 5000}, "at most 1,000 are allowed", id="endless question"),
        pytest.param("/describe", {"length": "huge"}, "It can be short, medium, long.", id="unknown length"),
        pytest.param("/describe", {"length": None}, "Unknown length", id="null length"),
        pytest.param("/describe", {"translate": "false"}, "“translate” has to be true or false.", id="no in words"),
        pytest.param("/describe", {"language": "xx"}, "Unknown language “xx”", id="unknown language"),
        pytest.param("/ask", {"answer": "two", "input_language": "fr"}, "English (en) or Spanish", id="typed French"),
        pytest.param("/read_text", {"model": "nope"}, "There is no model “nope” here.", id="a model that is not there"),
    ],
)
def test_a_wrong_value_is_refused_by_a_sentence(
    client: Client, picture: Path, endpoint: str, fields: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(client, handle_file(str(picture)), api_name=endpoint, **fields)


def test_a_missing_picture_is_asked_for(client: Client) -> None:
    assert refusal(client, None, api_name="/describe") == "Add a picture first."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("empty.png", b"", id="empty"),
        pytest.param("broken.png", b"\x89PNG\r\n\x1a\n" + b"x" * 100, id="broken PNG"),
        pytest.param("cut.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", id="cut JPEG"),
        pytest.param("text.png", b"not a picture", id="a text called PNG"),
        pytest.param("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="SVG"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_by_a_sentence(
    client: Client, tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert "picture" in refusal(client, handle_file(str(path)), api_name="/describe")


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        pytest.param(
            {"path": "http://127.0.0.1:1/x.png", "meta": {"_type": "gradio.FileData"}}, "web address", id="web address"
        ),
        pytest.param("picture.png", UPLOAD, id="a name"),
        pytest.param(["picture.png"], UPLOAD, id="a list"),
        pytest.param({"path": "/etc/hostname"}, UPLOAD, id="a path of the server, unmarked"),
    ],
)
def test_only_uploads_are_pictures(served: Served, payload: Any, sentence: str) -> None:
    with httpx.Client(base_url=f"{served.url}gradio_api/", timeout=60) as http:
        event = http.post("call/read_text", json={"data": [payload, False, ""]}).json()["event_id"]
        stream = http.get(f"call/read_text/{event}").text
    assert "event: error" in stream
    assert sentence in stream


@pytest.mark.parametrize("values", [[], [None], "image", 5])
def test_too_few_values_are_refused_by_a_sentence(served: Served, values: Any) -> None:
    with httpx.Client(base_url=f"{served.url}gradio_api/", timeout=60) as http:
        started = http.post("call/read_text", json={"data": values})
        if started.status_code == 422:
            return  # no list of values: refused before it is a call
        stream = http.get(f"call/read_text/{started.json()['event_id']}").text
    assert "does not fit this endpoint" in stream


NAMES = "lists its inputs and their types."


@pytest.mark.parametrize(
    ("address", "body", "status", "sentence"),
    [
        pytest.param("call/nope", {"data": []}, 404, "no endpoint of this name", id="unknown endpoint"),
        pytest.param("call/v2/nope", {}, 404, "no endpoint of this name", id="unknown endpoint, inputs by name"),
        pytest.param("call/v2/read_text", {"picture": None}, 422, NAMES, id="unknown input"),
        pytest.param("call/v2/answer", {"image": None}, 422, NAMES, id="missing input"),
        pytest.param(
            "queue/join", {"data": [], "fn_index": 9999, "session_hash": "x"}, 404, "no endpoint", id="unknown number"
        ),
    ],
)
def test_a_call_of_nothing_that_there_is_is_refused_by_a_sentence(
    served: Served, address: str, body: dict[str, Any], status: int, sentence: str
) -> None:
    answer = httpx.post(f"{served.url}gradio_api/{address}", json=body, timeout=60)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]


def test_what_is_no_file_is_refused_where_files_are_uploaded(served: Served) -> None:
    answer = httpx.post(f"{served.url}gradio_api/upload", files={"files": (None, b"no file")}, timeout=60)
    assert answer.status_code == 422
    assert "does not fit" in answer.json()["detail"]


def test_who_asks_for_an_answer_that_nobody_knows_of_reads_so_to_the_end(served: Served) -> None:
    told = httpx.get(f"{served.url}gradio_api/call/read_text/nope", timeout=60)  # raises where the end is missing
    assert told.text == 'event: error\ndata: "404: Not Found"\n\n'


def test_a_path_of_the_server_is_not_opened(served: Served) -> None:
    image = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
    with httpx.Client(base_url=f"{served.url}gradio_api/", timeout=60) as http:
        event = http.post("call/read_text", json={"data": [image, False, ""]}).json()["event_id"]
        stream = http.get(f"call/read_text/{event}").text
    assert "event: error" in stream
    assert "Only files that were uploaded here can be used" in stream


@pytest.mark.parametrize("typed", ["<image> what is it?", "<loc0001><loc0002>?", "<bos><eos>", "<b>what</b> & 'why'?"])
def test_special_tokens_in_a_question_stay_text(client: Client, picture: Path, typed: str) -> None:
    answer, _ = client.predict(handle_file(str(picture)), typed, api_name="/answer")
    for token in ("<image>", "<loc0001>", "<bos>", "<eos>"):
        assert token not in answer["prompt"]
