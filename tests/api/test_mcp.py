"""The tasks as an assistant sees them: the real MCP client over HTTP."""

import ast
import asyncio
import base64
from pathlib import Path
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from tests.conftest import Served

TASKS = {"describe", "read_text", "answer", "ask", "detect", "segment", "prompt"}


async def _tools_and_answer(url: str, tool: str, arguments: dict[str, Any]) -> tuple[list[Any], Any]:
    async with (
        streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        # Only to a client that listens to progress does gradio send each part of an answer by itself.
        answer = await session.call_tool(tool, arguments, progress_callback=_listen)
        return (await session.list_tools()).tools, answer


async def _listen(progress: float, total: float | None, message: str | None) -> None:
    """Hears how far a call is."""


def _call(served: Served, task: str, **arguments: Any) -> tuple[list[Any], Any]:
    # Tools carry the app's name before the task's.
    tools, _ = asyncio.run(_tools_and_answer(served.url, "none", {}))
    name = next(tool.name for tool in tools if tool.name.endswith(task))
    return asyncio.run(_tools_and_answer(served.url, name, arguments))


def _as_address(path: Path) -> str:
    return "data:image/webp;base64," + base64.b64encode(path.read_bytes()).decode()


def test_each_task_is_a_tool_with_a_description(served: Served, examples: Path) -> None:
    tools, _ = asyncio.run(_tools_and_answer(served.url, "none", {}))
    assert {task for task in TASKS if any(tool.name.endswith(task) for tool in tools)} == TASKS
    assert len(tools) == len(TASKS)
    for tool in tools:
        assert tool.description
        assert "image" in tool.inputSchema["properties"]


def test_an_assistant_gets_the_same_json(served: Served, examples: Path) -> None:
    _, answer = _call(served, "read_text", image=_as_address(examples / "welcome.webp"))
    assert not answer.isError
    assert ast.literal_eval(answer.content[0].text)["task"] == "read_text"  # gradio writes it as Python would


def test_an_assistant_gets_the_drawn_picture(served: Served, examples: Path) -> None:
    _, answer = _call(served, "detect", image=_as_address(examples / "moons.webp"), objects="moon")
    assert not answer.isError
    assert any(part.type == "image" for part in answer.content)


def test_an_assistant_reads_the_sentence_of_an_error(served: Served, examples: Path) -> None:
    _, answer = _call(served, "answer", image=_as_address(examples / "moons.webp"), question="")
    assert answer.isError
    assert "Type a question about the picture." in answer.content[0].text
