from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Served
from tests.hostile.payloads import MARK, UPLOADED, UPLOADED_CLIP
from ui.examples import CLIP

PATIENCE = 20.0
"""Seconds after which an input counts as one that holds the app up; most take milliseconds."""

GENERIC = ("Traceback", "upstream Gradio", "on our side", "object at 0x", "Error raised", "pydantic")


def is_plain(message: object) -> bool:
    """Whether a message is a sentence made for the person who reads it."""
    return isinstance(message, str) and message.endswith(".") and not any(part in message for part in GENERIC)


@pytest.fixture(scope="session")
def http(served: Served) -> Iterator[httpx.Client]:
    """A bare HTTP client that talks to the API."""
    with httpx.Client(base_url=f"{served.url}gradio_api/", timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="session")
def uploaded(http: httpx.Client, picture: Path) -> dict[Any, Any]:
    """A picture and a clip that were uploaded properly."""

    def upload(path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            return {"path": http.post("upload", files={"files": file}).json()[0], "meta": MARK}

    return {UPLOADED: upload(picture), UPLOADED_CLIP: upload(CLIP)}


@pytest.fixture(scope="session")
def call(http: httpx.Client) -> Callable[[str, Any], tuple[str, Any]]:
    """Calls an endpoint with a list of values; gives "complete" and its outputs, or "error" and its message."""
    import json

    def call(endpoint: str, data: Any) -> tuple[str, Any]:
        content = json.dumps({"data": data}).encode()  # surrogates as \\uXXXX, which httpx would refuse to send
        started = http.post(f"call/{endpoint}", content=content, headers={"content-type": "application/json"})
        if started.status_code != 200:
            return "refused", started
        stream = http.get(f"call/{endpoint}/{started.json()['event_id']}").text
        lines = [line for line in stream.splitlines() if line.strip()]
        event, told = lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))
        return event, told.get("error") if isinstance(told, dict) else told

    return call
