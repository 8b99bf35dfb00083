"""The tasks as tools for assistants that speak the Model Context Protocol, over streamable HTTP.

Knows how the protocol carries a picture, a result and a drawing. What the tools are called, take and mean is read from
the endpoints of `ui.api`. Gradio has such a server too; it gives an assistant a result as Python would print it.
"""

import base64
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import gradio as gr
from gradio.utils import get_function_description, get_upload_folder
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.lowlevel.server import request_ctx
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from PIL import Image
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Mount
from starlette.types import Message, Receive, Scope, Send

from inference import overlay
from inference.errors import Cancelled, InvalidInput
from inference.exports import has_places
from inference.images import open_picture
from inference.pipeline import Progress
from inference.sentences import Sentence
from inference.tasks import LANGUAGES, LENGTHS, MAX_TEXT_CHARACTERS, TASKS
from inference.types import Request, Result
from ui.api import Endpoints, parameters_of
from ui.context import Context
from ui.faults import new_request_id, sentence
from ui.service import login, threads_for

PATH = "/gradio_api/mcp"

LONGEST_SIDE = 1024
"""Pixels of the drawing that an assistant is shown: it reads the numbers from the JSON, and pays for each pixel."""

WORTH_TELLING = 16
"""How many more tokens are written when a client hears of it again."""

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARACTERS}
_INPUTS: dict[str, dict[str, Any]] = {
    "image": {
        "type": "string",
        "description": (
            "The picture: its content as a data: URI (data:image/jpeg;base64,…), or the path that uploading it gave "
            "(`curl -F files=@photo.jpg URL/gradio_api/upload` with the address of this server). JPEG, PNG, WebP, GIF, "
            "BMP, TIFF or AVIF. Web addresses and paths of your own machine are refused."
        ),
    },
    "question": _TEXT,
    "answer": _TEXT,
    "objects": _TEXT,
    "prompt": _TEXT,
    "length": {"type": "string", "enum": list(LENGTHS), "default": "short"},
    "language": {"type": "string", "enum": list(LANGUAGES), "default": "en"},
    "translate": {"type": "boolean", "default": False},
    "input_language": {"type": "string", "enum": ["en", "es"], "default": "en"},
    "model": {"type": "string", "default": ""},
}
_DEFAULTS = {name: schema["default"] for name, schema in _INPUTS.items() if "default" in schema}
_KINDS: dict[str, tuple[type, str]] = {"string": (str, "a text"), "boolean": (bool, "true or false")}
_NULLABLE_TEXT = {"type": ["string", "null"]}
_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["task", "model", "prompt", "raw", "text", "translation", "detections", "image", "problems", "timing"],
    "properties": {
        "task": {"type": "string"},
        "model": {"type": "string", "description": "The model that answered."},
        "prompt": {"type": "string", "description": "What the model was given."},
        "raw": {"type": "string", "description": "The model's own output, with its tokens for places."},
        "text": {"type": "string", "description": "The answer."},
        "translation": {"type": ["object", "null"], "description": "The answer in Spanish, if it was asked for."},
        "detections": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "translated_label": _NULLABLE_TEXT,
                    "box": {
                        "type": "array",
                        "items": {"type": "number"},
                        "description": "x_min, y_min, x_max, y_max in pixels from the top left corner.",
                    },
                    "score": {"type": ["number", "null"], "description": "0 to 1; for ranking, not calibrated."},
                    "mask": {"type": ["object", "null"], "description": "COCO's compressed run lengths."},
                },
            },
        },
        "image": {"type": "object", "description": "Width and height of the upright picture, in pixels."},
        "problems": {"type": "array", "items": {"type": "string"}, "description": "What was wrong with the output."},
        "timing": {"type": "object", "description": "Seconds in each stage, and how many tokens were written."},
    },
}


class ToolServer:
    """The server of the tools: mounted beside the page, by `routes`, and alive within `lifespan`.

    Args:
        context: What it talks to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._uploads = Path(get_upload_folder()).resolve()
        self._tools = [_tool(name, Endpoints(context)) for name in TASKS]
        server: Server[Any, Any] = Server(
            "PaliGemma 2",
            instructions=(
                "Looks at one picture at a time with PaliGemma 2: describes it, reads the text in it, answers a short "
                "question, finds or outlines things. It does not chat: each call stands alone."
            ),
        )
        server.list_tools()(self._list)  # type: ignore[no-untyped-call]
        server.call_tool(validate_input=False)(self._call)  # its sentences repeat what was sent, however long
        most = int(context.limits.max_megabytes * 1024 * 1024 * 4 / 3) + 65_536  # in base64, and the rest
        # Without sessions, any client may come and go, and a server that was started anew knows them all.
        self._sessions = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=most)
        # Of their own: the pages and files of everybody come by the threads that all share.
        self._threads = anyio.CapacityLimiter(threads_for(context.settings))

    @property
    def routes(self) -> list[BaseRoute]:
        """Where it is reached."""
        return [Mount(PATH, app=self._serve)]

    def lifespan(self, _: object) -> AbstractAsyncContextManager[None]:
        """Runs it while the page is served."""
        return self._alive()

    @asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        async with self._sessions.run():
            yield

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope)
        if not self._may_enter(request):
            headers = {"WWW-Authenticate": 'Basic realm="PaliGemma 2"'}
            await PlainTextResponse("Log in by HTTP Basic.", 401, headers)(scope, receive, send)
        elif request.method == "GET" and request.url.path.endswith("/schema"):
            listed = [_described(tool) for tool in self._tools]
            await JSONResponse(listed)(scope, receive, send)
        elif request.method == "GET" and "text/event-stream" not in request.headers.get("accept", ""):
            told = "This address is for assistants that speak the Model Context Protocol, over streamable HTTP.\n"
            await PlainTextResponse(told)(scope, receive, send)
        else:
            told = f"A picture of at most {self._context.limits.max_megabytes:g} MB is allowed.\n"
            await self._sessions.handle_request(scope, receive, _refusing(send, PlainTextResponse(told, 413)))

    def _may_enter(self, request: HttpRequest) -> bool:
        if self._context.settings.auth is None:
            return True
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return False
        return kind.lower() == "basic" and login(self._context.settings.auth)(user, secret)

    async def _list(self) -> list[types.Tool]:
        return self._tools

    async def _call(self, name: str, arguments: dict[str, Any]) -> tuple[list[types.ContentBlock], dict[str, Any]]:
        """Answers; what is raised here reaches the assistant as its message."""
        if name not in TASKS:
            raise ValueError(f"There is no tool “{name[:40]}”. There are: {', '.join(TASKS)}.")
        call = _Call(self._context, name, _checked(arguments), uploads=self._uploads)
        try:
            # Whoever leaves does not wait until the thread notices.
            return await anyio.to_thread.run_sync(call.answer, abandon_on_cancel=True, limiter=self._threads)
        finally:
            call.gone.set()


class _Call:
    """One call of a tool, in a thread of its own.

    Args:
        context: What it talks to.
        task: The tool's name.
        arguments: What it was given.
        uploads: The folder of files that were uploaded.

    Attributes:
        gone: Set when nobody waits for the answer any more.
    """

    def __init__(self, context: Context, task: str, arguments: dict[str, Any], *, uploads: Path) -> None:
        self._context = context
        self._task = task
        self._arguments = arguments
        self._uploads = uploads
        self._protocol = request_ctx.get()
        self._told = self._written = 0
        self.gone = threading.Event()

    def answer(self) -> tuple[list[types.ContentBlock], dict[str, Any]]:
        """The result and the drawing.

        Raises:
            ValueError: With a sentence for the assistant.
        """
        request_id = new_request_id()
        try:
            result, drawn = self._ask(request_id)
        except Exception as error:
            raise ValueError(sentence(error, self._context.english, request_id=request_id)) from None
        answer = result.to_json()
        content: list[types.ContentBlock] = [
            types.TextContent(type="text", text=json.dumps(answer, ensure_ascii=False, allow_nan=False))
        ]
        if drawn is not None:
            content.append(_image(drawn))
        return content, answer

    def _ask(self, request_id: str) -> tuple[Result, Image.Image | None]:
        given = _DEFAULTS | self._arguments
        task = TASKS[self._task]
        with self._context.visitors.admit(self._visitor()) as visit:
            request = Request(
                image=_open(given.get("image", ""), self._context, uploads=self._uploads),
                task=task.name,
                text=given.get(task.text, "") if task.text else "",
                length=given["length"],
                language=given["language"],
                translate=given["translate"],
                input_language=given["input_language"],
                model=given["model"] or None,
                id=request_id,
            )
            for item in self._context.pipeline.stream(visit.asking(request), left=self.gone.is_set):
                if isinstance(item, Result):
                    return item, overlay.draw(request.image, item.detections) if has_places(item) else None
                self._tell(item)
        raise Cancelled(Sentence("Stopped."))

    def _visitor(self) -> gr.Request:
        http = self._protocol.request
        address = http.client.host if isinstance(http, HttpRequest) and http.client else ""
        return gr.Request(http, session_hash=f"mcp {address}")

    def _tell(self, progress: Progress) -> None:
        """Says how far the answer is, to a client that wants to know, once a stage and every few words."""
        token = self._protocol.meta.progressToken if self._protocol.meta else None
        more = progress.tokens - self._written
        if token is None or (progress.stage == "writing" and self._written and more < WORTH_TELLING):
            return
        self._written = progress.tokens
        self._told += 1
        message = {
            "queued": f"Waiting, with {progress.ahead} ahead.",
            "looking": "Looking at the picture.",
            "writing": f"Writing; {progress.tokens} tokens so far.",
            "translating": "Translating.",
        }[progress.stage]
        tell = partial(
            self._protocol.session.send_progress_notification,
            progress_token=token,
            progress=float(self._told),
            message=message,
            related_request_id=str(self._protocol.request_id),
        )
        anyio.from_thread.run(tell)


def _tool(name: str, endpoints: Endpoints) -> types.Tool:
    function, task = getattr(endpoints, name), TASKS[name]
    description, documented, returns = get_function_description(function)
    properties = {
        parameter: {"description": documented[parameter].strip()} | _INPUTS[parameter]
        for parameter in parameters_of(function)
    }
    properties["image"] = properties["image"] | {
        "description": f"{_INPUTS['image']['description']} At most {endpoints.context.limits.max_megabytes:g} MB."
    }
    return types.Tool(
        name=name,
        title=name.replace("_", " ").capitalize(),
        description=f"{description} Returns: {' '.join(returns)}",
        inputSchema={
            "type": "object",
            "properties": properties,
            "required": ["image", *([task.text] if task.text else [])],
        },
        outputSchema=_RESULT,
        annotations=types.ToolAnnotations(
            readOnlyHint=True, destructiveHint=False, idempotentHint=True, openWorldHint=False
        ),
    )


def _checked(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call without those that are null, which assistants send for what they leave out.

    Raises:
        ValueError: One is of another kind than its schema says; what values there can be is checked with the request.
    """
    given = {name: value for name, value in arguments.items() if name in _INPUTS and value is not None}
    for name, value in given.items():
        kind, called = _KINDS[_INPUTS[name]["type"]]
        if not isinstance(value, kind):
            raise ValueError(f"“{name}” has to be {called}.")
    return given


def _described(tool: types.Tool) -> dict[str, Any]:
    """A tool as the hub's own MCP server reads it from a Space, in the form that gradio gives it."""
    meta = {"file_data_present": True, "mcp_type": "tool", "endpoint_name": tool.name}
    return {"name": tool.name, "description": tool.description, "inputSchema": tool.inputSchema, "meta": meta}


def _open(image: str, context: Context, *, uploads: Path) -> Image.Image:
    """The picture that an assistant sent.

    Raises:
        UserError: There is none, or it cannot be used.
    """
    if not image:
        raise InvalidInput(context.english.now("error.no_picture"))
    head, comma, content = image.partition(",")
    if head.startswith("data:") and comma:
        try:
            decoded = base64.b64decode("".join(content.split()), validate=True)
        except ValueError:
            raise InvalidInput(Sentence("The picture's data: URI is not in base64, or was cut off.")) from None
        return open_picture(decoded, context.limits)
    if image.startswith(("http://", "https://")):
        raise InvalidInput(context.english.now("error.address"))
    try:
        path = Path(image).resolve()
        known = path.is_relative_to(uploads) and path.is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        known = False
    if not known:
        raise InvalidInput(
            Sentence("Send the picture as a data: URI in base64, or upload its file and send the path that this gave.")
        )
    return open_picture(path, context.limits)


def _image(drawn: Image.Image) -> types.ImageContent:
    small = drawn.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    packed = BytesIO()
    small.save(packed, "JPEG", quality=88)
    return types.ImageContent(type="image", data=base64.b64encode(packed.getvalue()).decode(), mimeType="image/jpeg")


def _refusing(send: Send, refusal: PlainTextResponse) -> Send:
    """Sends what says how much is allowed in the place of an answer that only says that it was too much."""
    refused = False

    async def refusing(message: Message) -> None:
        nonlocal refused
        if message["type"] == "http.response.start" and message["status"] == refusal.status_code:
            refused, message = True, dict(message, headers=refusal.raw_headers)
        elif refused:
            message = dict(message, body=refusal.body)
        await send(message)

    return refusing
