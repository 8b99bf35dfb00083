"""A client of the page as a browser is one, in plain HTTP: uploads, questions through the queue, answers as events.

So light that fifty of them do not take the cores from the app that they measure. Knows the page's protocol; knows
neither tasks nor what an answer means.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT = httpx.Timeout(30.0, read=180.0, write=180.0)
API = "/gradio_api"

PATIENCE = 300.0
"""Seconds after which an answer counts as lost, far beyond the app's deadline; heartbeats keep its connection."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question.

    Attributes:
        output: The endpoint's outputs, or None for a refusal.
        message: Why it was refused, or empty; None if nothing was said.
        status: Of HTTP.
        seconds: From asking to the last byte.
        joined: Seconds until the queue had taken it.
    """

    output: list[Any] | None
    message: str | None
    status: int
    seconds: float
    joined: float = 0.0


class Lost(Exception):
    """A question was neither answered nor refused."""


def functions(url: str) -> dict[str, int]:
    """Name of each public endpoint -> the number under which the queue knows it."""
    config = httpx.get(f"{url.rstrip('/')}/config", timeout=TIMEOUT).raise_for_status().json()
    return {each["api_name"]: each["id"] for each in config["dependencies"] if each.get("api_name")}


def file(path: str) -> dict[str, Any]:
    """What stands for an uploaded file among the inputs."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


class Session:
    """One visitor.

    Args:
        http: Shared by all visitors, with the app's address as its base.
        numbers: See `functions`.
        headers: That it sends with everything.
    """

    def __init__(
        self, http: httpx.AsyncClient, numbers: Mapping[str, int], headers: Mapping[str, str] | None = None
    ) -> None:
        self.http = http
        self._numbers = numbers
        self._headers = dict(headers or {})
        self._hash = secrets.token_hex(8)

    def beside(self) -> "Session":
        """Another session from the same place."""
        return Session(self.http, self._numbers, self._headers)

    async def upload(self, content: bytes, name: str) -> Reply:
        """Uploads a file; the output is the path under which the app knows it."""
        begin = time.perf_counter()
        response = await self.http.post(f"{API}/upload", files={"files": (name, content)}, headers=self._headers)
        seconds = time.perf_counter() - begin
        if response.status_code == 200:
            return Reply(response.json(), "", 200, seconds)
        return Reply(None, _detail(response), response.status_code, seconds)

    async def ask(self, endpoint: str, inputs: Sequence[Any], *, leave_after: float | None = None) -> Reply | None:
        """Asks through the queue.

        Args:
            endpoint: Its name.
            inputs: Of the endpoint, in order.
            leave_after: Seconds after which to hang up, whatever came.

        Returns:
            What came of it, or None if this visitor left before.

        Raises:
            Lost: The connection ended without an answer, or none came in time.
        """
        begin = time.perf_counter()
        body = {
            "data": list(inputs), "fn_index": self._numbers[endpoint], "session_hash": self._hash, "event_data": None,
            "trigger_id": None,
        }  # fmt: skip
        joined = await self.http.post(f"{API}/queue/join", content=json.dumps(body), headers=self._headers | _JSON)
        if joined.status_code != 200:
            return Reply(None, _detail(joined), joined.status_code, time.perf_counter() - begin)
        event, taken = joined.json()["event_id"], time.perf_counter() - begin
        try:
            async with asyncio.timeout(PATIENCE if leave_after is None else leave_after):
                output = await self._answer(event)
        except TimeoutError:
            if leave_after is not None:
                # Whoever closes a page comes back with another session. In the same one, gradio would end what is asked
                # next as well, when it notices moments later that the one before has gone.
                self._hash = secrets.token_hex(8)
                return None
            raise Lost("no answer in time") from None
        seconds = time.perf_counter() - begin
        if output.get("success"):
            return Reply(output["output"]["data"], "", 200, seconds, taken)
        return Reply(None, (output.get("output") or {}).get("error"), 200, seconds, taken)

    async def _answer(self, event: str) -> dict[str, Any]:
        """Reads the session's events until the one that ends this question."""
        address = f"{API}/queue/data?session_hash={self._hash}"
        async with self.http.stream("GET", address, headers=self._headers) as response:
            async for message in _events(response):
                if message.get("event_id") == event and message["msg"] == "process_completed":
                    return message
                if message["msg"] == "unexpected_error":
                    raise Lost(str(message.get("message")))
        raise Lost("the connection ended before the answer")


_JSON = {"content-type": "application/json"}


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield json.loads(line[5:])


def _detail(response: httpx.Response) -> str:
    """The sentence in a refusal."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return response.text
    return detail if isinstance(detail, str) else json.dumps(detail)
