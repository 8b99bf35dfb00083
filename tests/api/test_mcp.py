"""The tasks as an assistant sees them: the real MCP client over HTTP."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from PIL import Image
from pycocotools import mask as coco

from inference.errors import Busy
from inference.pipeline import Progress
from inference.tasks import TASKS
from inference.types import Detection, Request, Result
from tests.conftest import Served
from tests.support.running import run
from tests.support.serving import StandInHost, StandInPipeline, serve
from ui import service


@asynccontextmanager
async def _session(url: str, **headers: str) -> AsyncIterator[ClientSession]:
    async with (
        create_mcp_http_client(headers=headers) as http,
        streamable_http_client(f"{url}gradio_api/mcp/", http_client=http) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


def _tools(url: str) -> dict[str, types.Tool]:
    async def listed() -> list[types.Tool]:
        async with _session(url) as session:
            return (await session.list_tools()).tools

    return {tool.name: tool for tool in run(listed())}


def _call(url: str, tool: str, **arguments: Any) -> types.CallToolResult:
    async def called() -> types.CallToolResult:
        async with _session(url) as session:
            return await session.call_tool(tool, arguments)

    return run(called())


def _said(answer: types.CallToolResult) -> str:
    first = answer.content[0]
    assert isinstance(first, types.TextContent)
    return first.text


def _as_address(path: Path, kind: str = "webp") -> str:
    return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {"mcp": True, "max_upload_mb": 1}


def test_each_task_is_a_tool_and_nothing_else_is(url: str) -> None:
    tools = _tools(url)
    assert list(tools) == list(TASKS)
    for name, tool in tools.items():
        text = TASKS[name].text
        assert tool.inputSchema["required"] == (["image", text] if text else ["image"])
        assert tool.annotations is not None
        assert tool.annotations.readOnlyHint
        assert tool.annotations.openWorldHint is False


def test_an_assistant_is_told_what_each_tool_and_each_input_is_for(url: str) -> None:
    tools = _tools(url)
    for tool in tools.values():
        assert len(tool.description or "") > 120, tool.name
        for parameter, schema in tool.inputSchema["properties"].items():
            assert schema["description"], f"{tool.name}.{parameter}"
    image = tools["describe"].inputSchema["properties"]["image"]["description"]
    assert "data: URI" in image
    assert image.endswith("At most 1 MB.")
    assert "`segment` gives outlines" in (tools["detect"].description or "")
    assert tools["describe"].inputSchema["properties"]["length"]["enum"] == ["short", "medium", "long"]


def test_an_assistant_gets_the_same_json_as_text_and_as_structured_content(served: Served, examples: Path) -> None:
    answer = _call(served.url, "read_text", image=_as_address(examples / "welcome.webp"))
    assert not answer.isError
    told = json.loads(_said(answer))
    assert told == answer.structuredContent
    assert told["task"] == "read_text"
    assert told["model"] == served.model
    assert told["image"] == {"width": 672, "height": 672}


def test_an_assistant_gets_masks_and_the_drawn_picture(served: Served, examples: Path) -> None:
    answer = _call(served.url, "segment", image=_as_address(examples / "moons.webp"), objects="moon")
    assert answer.structuredContent is not None
    things = answer.structuredContent["detections"]
    assert things
    assert all(coco.decode(found["mask"]).shape == (672, 672) for found in things)
    (drawn,) = (part for part in answer.content if isinstance(part, types.ImageContent))
    assert Image.open(BytesIO(base64.b64decode(drawn.data))).size == (672, 672)
    assert drawn.mimeType == "image/jpeg"


def test_every_input_reaches_the_pipeline(url: str, pipeline: StandInPipeline, picture: Path) -> None:
    image = _as_address(picture, "png")
    _call(url, "answer", image=image, question="¿qué es?", input_language="es", translate=True, language="fr")
    _call(url, "describe", image=image, length="long", model="stand-in")
    first, second = pipeline.requests
    assert (first.task, first.text, first.input_language, first.translate) == ("answer", "¿qué es?", "es", True)
    assert (first.language, first.image.size) == ("fr", (100, 80))
    assert (second.task, second.length, second.model) == ("describe", "long", "stand-in")


def test_a_picture_that_was_uploaded_is_named_by_its_path(url: str, pipeline: StandInPipeline, picture: Path) -> None:
    with picture.open("rb") as file:
        path = httpx.post(f"{url}gradio_api/upload", files={"files": file}).json()[0]
    assert not _call(url, "describe", image=path).isError
    assert pipeline.requests[0].image.size == (100, 80)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"image": ""}, "Add a picture first.", id="no picture"),
        pytest.param({"image": "https://example.com/cat.jpg"}, "Download the file", id="web address"),
        pytest.param({"image": "/etc/hostname"}, "Send the picture as a data: URI", id="path of the server"),
        pytest.param({"image": "cat.jpg"}, "Send the picture as a data: URI", id="name"),
        pytest.param({"image": "\0"}, "Send the picture as a data: URI", id="zero byte"),
        pytest.param({"image": "x" * 5000}, "Send the picture as a data: URI", id="endless name"),
        pytest.param({"image": "data:image/png;base64,§§§"}, "not in base64", id="broken base64"),
        pytest.param({"image": "data:image/png;base64,aGVsbG8="}, "picture", id="not a picture"),
        pytest.param({}, "Add a picture first.", id="missing picture"),
        pytest.param({"image": ["x" * 5000]}, "“image” has to be a text.", id="a list of pictures"),
        pytest.param({"image": "x", "translate": "no"}, "“translate” has to be true or false.", id="no in words"),
    ],
)
def test_what_cannot_be_used_is_refused_by_a_sentence(
    url: str, pipeline: StandInPipeline, arguments: dict[str, Any], words: str
) -> None:
    answer = _call(url, "describe", **arguments)
    assert answer.isError
    assert words in _said(answer)
    assert "Traceback" not in _said(answer)
    assert pipeline.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({}, "Name at least one thing to look for", id="missing objects"),
        pytest.param({"objects": None}, "Name at least one thing to look for", id="null objects"),
        pytest.param({"objects": "x" * 5000}, "at most 1,000 are allowed.", id="endless objects"),
        pytest.param({"objects": "boat", "input_language": "fr"}, "English (en) or Spanish (es).", id="typed French"),
    ],
)
def test_so_is_what_cannot_be_asked_about_a_picture_and_it_is_not_repeated(
    url: str, picture: Path, arguments: dict[str, Any], words: str
) -> None:
    answer = _call(url, "detect", image=_as_address(picture, "png"), **arguments)
    assert answer.isError
    assert words in _said(answer)
    assert len(_said(answer)) < 200


def test_null_stands_for_what_is_left_out(url: str, pipeline: StandInPipeline, picture: Path) -> None:
    left_out: dict[str, None] = {"length": None, "language": None, "translate": None, "model": None}
    assert not _call(url, "describe", image=_as_address(picture, "png"), **left_out).isError
    [request] = pipeline.requests
    assert (request.length, request.language, request.translate, request.model) == ("short", "en", False, None)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        pytest.param(Busy("Too many wait. Try again."), "Too many wait. Try again.", id="plain error"),
        pytest.param(RuntimeError("secret"), "Something went wrong on our side.", id="bug"),
    ],
)
def test_an_error_reaches_an_assistant_as_its_sentence(
    url: str, pipeline: StandInPipeline, picture: Path, failure: Exception, words: str
) -> None:
    pipeline.failure = failure
    answer = _call(url, "describe", image=_as_address(picture, "png"))
    assert answer.isError
    assert words in _said(answer)
    assert "secret" not in _said(answer)


def test_a_picture_over_the_limit_is_refused_before_it_is_read(url: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"x": "y" * 2_000_000}}
    headers = {"accept": "application/json, text/event-stream"}
    answer = httpx.post(f"{url}gradio_api/mcp/", json=body, headers=headers)
    assert answer.status_code == 413
    assert "at most 1 MB" in answer.text


def test_a_picture_of_any_size_that_is_allowed_is_answered(tmp_path: Path) -> None:
    large = tmp_path / "large.bmp"
    Image.new("RGB", (2300, 2000)).save(large)  # 13 MB
    with serve(StandInPipeline(), StandInHost(), mcp=True) as url:
        assert not _call(url, "describe", image=_as_address(large, "bmp")).isError


def test_calls_that_wait_do_not_hold_up_the_page(picture: Path) -> None:
    held, calls = StandInPipeline(held=True), 44  # more than the threads that a server has for everybody
    arguments = {"name": "describe", "arguments": {"image": _as_address(picture, "png")}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments}
    headers = {"accept": "application/json, text/event-stream"}

    async def ask(url: str) -> list[int]:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=calls + 1)) as client:
            waiting = [
                asyncio.create_task(client.post(f"{url}gradio_api/mcp/", json=body, headers=headers))
                for _ in range(calls)
            ]
            while len(held.requests) < calls:
                await asyncio.sleep(0.01)
            answers = [await client.get(f"{url}{address}") for address in ("", "healthz", "theme.css")]
            held.go.set()
            return [answer.status_code for answer in (*answers, *await asyncio.gather(*waiting))]

    routes = service.routes(StandInHost())  # type: ignore[arg-type]
    with serve(held, StandInHost(), routes=routes, mcp=True, max_per_visitor=calls) as url:
        assert run(asyncio.wait_for(ask(url), 60)) == [200] * (3 + calls)


def test_whoever_listens_hears_how_far_a_call_is(url: str, pipeline: StandInPipeline, picture: Path) -> None:
    heard: list[str | None] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async def called() -> types.CallToolResult:
        async with _session(url) as session:
            arguments = {"image": _as_address(picture, "png")}
            return await session.call_tool("describe", arguments, progress_callback=listen)

    assert not run(called()).isError
    assert heard == ["Looking at the picture.", "Writing; 1 tokens so far."]


def test_an_assistant_that_leaves_frees_the_model(url: str, pipeline: StandInPipeline, picture: Path) -> None:
    pipeline.held = True

    async def called() -> None:
        async with _session(url) as session:
            arguments = {"image": _as_address(picture, "png")}
            with pytest.raises(McpError):
                await session.call_tool("describe", arguments, read_timeout_seconds=timedelta(seconds=1))

    run(called())
    assert pipeline.cancelled.wait(20)


def test_the_drawing_for_an_assistant_is_small(url: str, pipeline: StandInPipeline, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (3000, 2000)).save(large)
    pipeline.things = (Detection("boat", (10, 10, 40, 40), 0.9),)
    answer = _call(url, "detect", image=_as_address(large, "png"), objects="boat")
    (drawn,) = (part for part in answer.content if isinstance(part, types.ImageContent))
    assert Image.open(BytesIO(base64.b64decode(drawn.data))).size == (1024, 683)


def test_nothing_found_is_drawn_too(url: str, picture: Path) -> None:
    answer = _call(url, "detect", image=_as_address(picture, "png"), objects="boat")
    (drawn,) = (part for part in answer.content if isinstance(part, types.ImageContent))
    assert Image.open(BytesIO(base64.b64decode(drawn.data))).size == (100, 80)


def test_a_long_answer_is_told_of_again_however_its_tokens_come(picture: Path) -> None:
    class Bundles(StandInPipeline):
        def stream(self, request: Request, **options: Any) -> Iterator[Progress | Result]:
            *_, last = super().stream(request, **options)
            yield from (Progress("writing", raw="", tokens=tokens) for tokens in (1, 9, 18, 33, 35, 60))
            yield last

    heard: list[str | None] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async def called(url: str) -> None:
        async with _session(url) as session:
            arguments = {"image": _as_address(picture, "png")}
            await session.call_tool("describe", arguments, progress_callback=listen)

    with serve(Bundles(), StandInHost(), mcp=True) as url:
        run(called(url))
    assert heard == [f"Writing; {tokens} tokens so far." for tokens in (1, 18, 35, 60)]


def test_a_login_is_asked_for_here_too(picture: Path) -> None:
    with serve(StandInPipeline(), StandInHost(), mcp=True, auth=("anna", "pass:word")) as url:
        for headers in ({}, {"authorization": "Basic " + base64.b64encode(b"anna:wrong").decode()}):
            assert httpx.post(f"{url}gradio_api/mcp/", json={}, headers=headers).status_code == 401

        async def called() -> types.CallToolResult:
            known = "Basic " + base64.b64encode(b"anna:pass:word").decode()
            async with _session(url, authorization=known) as session:
                return await session.call_tool("describe", {"image": _as_address(picture, "png")})

        assert not run(called()).isError


def test_without_the_flag_there_are_no_tools() -> None:
    with serve(StandInPipeline(), StandInHost()) as url:
        assert httpx.post(f"{url}gradio_api/mcp/", json={}).status_code in (404, 405)


def test_a_person_who_opens_the_address_reads_what_it_is_for(url: str) -> None:
    assert "for assistants" in httpx.get(f"{url}gradio_api/mcp/").text


def test_a_space_offers_its_tools_to_the_hub(url: str) -> None:
    listed = httpx.get(f"{url}gradio_api/mcp/schema").json()
    assert [tool["name"] for tool in listed] == list(TASKS)
    assert all(tool["meta"]["mcp_type"] == "tool" and tool["inputSchema"]["properties"] for tool in listed)
