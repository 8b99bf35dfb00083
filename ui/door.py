"""What every upload and every call passes on its way in and out: whatever is wrong with it ends in a sentence.

Knows how files and values travel over HTTP, where uploads lie, and how a full disk shows. Knows no tasks and no
models.
"""

import errno
import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import gradio as gr
from gradio.context import LocalContext
from gradio.exceptions import InvalidPathError
from gradio.route_utils import FnIndexInferError
from gradio.utils import get_upload_folder
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference.metadata import without_metadata
from ui.faults import new_request_id
from ui.texts import Texts

logger = logging.getLogger(__name__)

_MEGABYTE = 1024 * 1024
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_FILES_AT_ONCE = 32
"""Files of the largest size that one upload may bring."""

_OF_CALLS = re.compile(r"/gradio_api/(call|queue|upload)(/|$)")
"""Where clients of the API send something."""


class Page(gr.Blocks):
    """Gradio's blocks, which answer what does not fit a handler, and files that cannot be kept, with a sentence.

    Gradio itself answers a path that is no upload, a value of another type and a list that is too short with the same
    generic message as a bug.
    """

    async def preprocess_data(self, *arguments: Any, **options: Any) -> Any:
        """What a handler gets from what was sent.

        Raises:
            gr.Error: It does not fit.
        """
        try:
            return await super().preprocess_data(*arguments, **options)
        except gr.Error:
            raise
        except Exception as error:
            key = "error.path" if isinstance(error, InvalidPathError) else "error.values"
            if is_full(error):
                key = "error.full"
            # The error itself may hold what was sent.
            logger.info("a call was refused before its handler, by %s", type(error).__name__)
            raise gr.Error(_sentence(key), print_exception=False) from None

    async def postprocess_data(self, *arguments: Any, **options: Any) -> Any:
        """What is sent of what a handler gave.

        Raises:
            gr.Error: It could not be written to the disk, or it is a bug; then the log has it under the same id.
        """
        try:
            return await super().postprocess_data(*arguments, **options)
        except gr.Error:
            raise
        except Exception as error:
            if is_full(error):
                logger.error("the disk is full: %s", error)
                raise gr.Error(_sentence("error.full"), print_exception=False) from None
            request_id = new_request_id()
            logger.error("%s failed", request_id, exc_info=error)
            raise gr.Error(_sentence("error.ours", id=request_id), print_exception=False) from None

    def files_to_keep(self) -> frozenset[Path]:
        """The files that belong to the page itself and not to a visitor."""
        kept = (getattr(block, "keep_in_cache", ()) for block in self.blocks.values())
        return frozenset(Path(file) for files in kept for file in files)


class CallDoor:
    """ASGI middleware round gradio's routes for calls: what they do not expect of a client is refused by a sentence.

    By themselves they end in an exception, a bug to the client and a traceback in the log, where no endpoint has the
    name that was sent, none of its inputs has, or nobody knows the call whose answer is asked for.

    Args:
        app: What it stands before.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets everything but calls pass."""
        if scope["type"] != "http" or not _OF_CALLS.search(scope["path"]):
            await self._app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except (FnIndexInferError, LookupError, TypeError, ValueError, RuntimeError) as error:
            if begun and isinstance(error.__cause__, HTTPException):
                # It was told as the stream's last event; only the end of the stream is missing.
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            if begun or isinstance(error, RuntimeError):
                raise
            unknown = isinstance(error, FnIndexInferError | LookupError)
            logger.info("a call was refused before its handler, by %s", type(error).__name__)
            texts = Texts.read()
            key = "error.endpoint" if unknown else "error.values"
            told = {"detail": texts.now(key, texts.language_of(Request(scope)))}
            await JSONResponse(told, 404 if unknown else 422)(scope, receive, send)


class UploadDoor:
    """ASGI middleware round the route that takes uploads.

    It refuses what would fill the disk, says so where the disk is full all the same, takes metadata out of the pictures
    that came, and deletes what earlier uploads left behind: gradio forgets the parts of an upload that broke off.

    Args:
        app: What it stands before.
        max_megabytes: Of one file.
        keep_for: Seconds after which an upload may be deleted.
        folder: Where uploads lie; gradio's own folder if not given.
        free: How many bytes are left beside a path.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_megabytes: float,
        keep_for: float,
        folder: Path | None = None,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._app = app
        self._most = int(max_megabytes * _MEGABYTE)
        self._keep_for = keep_for
        self._folder = folder or Path(get_upload_folder())
        self._free = free
        self._swept = float("-inf")
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets everything but uploads pass."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].rstrip("/").endswith("/upload"):
            await self._app(scope, receive, send)
            return
        await anyio.to_thread.run_sync(self._sweep_in_time, scope)
        if not await anyio.to_thread.run_sync(self._has_room):
            logger.error("an upload was refused: the disk is nearly full")
            await _refuse(507, "error.full", scope, receive, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            await self._app(scope, self._counted(receive), keep)
        except _TooMuch:
            await _refuse(413, "error.much", scope, receive, send)
        except OSError as error:
            if not is_full(error):
                raise
            logger.error("the disk is full: %s", error)
            await _refuse(507, "error.full", scope, receive, send)
        else:
            await anyio.to_thread.run_sync(partial(self._clean, answer))
            for message in answer:
                await send(message)

    def _counted(self, receive: Receive) -> Receive:
        """What comes in, as long as it is not too much and there is room for more."""
        come = looked = 0

        async def counted() -> Message:
            nonlocal come, looked
            message = await receive()
            come += len(message.get("body", b""))
            if come > _FILES_AT_ONCE * self._most:
                raise _TooMuch
            if come - looked > self._most:
                looked = come
                if not await anyio.to_thread.run_sync(self._has_room):
                    raise OSError(errno.ENOSPC, "an upload would fill the disk")
            return message

        return counted

    def _has_room(self) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._free(self._folder) > 2 * self._most

    def _clean(self, answer: list[Message]) -> None:
        """Takes the metadata out of the files that an upload's answer names."""
        if answer and answer[0]["type"] == "http.response.start" and answer[0]["status"] != 200:
            return
        body = b"".join(message.get("body", b"") for message in answer)
        try:
            paths = [Path(path) for path in json.loads(body)]
        except (ValueError, TypeError):  # packed, or of another gradio than the one that is pinned
            logger.error("the answer to an upload could not be read, so its pictures keep their metadata")
            return
        for path in paths:
            _clean_file(path)

    def _sweep_in_time(self, scope: Scope) -> None:
        with self._lock:
            if time.monotonic() - self._swept < min(60.0, self._keep_for):
                return
            self._swept = time.monotonic()
        page = scope["app"].get_blocks() if "app" in scope else None
        kept = page.files_to_keep() if isinstance(page, Page) else frozenset()
        sweep(self._folder, older_than=self._keep_for, kept=kept)


def sweep(folder: Path, *, older_than: float, kept: frozenset[Path] = frozenset()) -> int:
    """Deletes old files, and the folders that this leaves empty.

    Args:
        folder: Of uploads and outputs.
        older_than: Seconds since a file came there.
        kept: Files that stay whatever their age.

    Returns:
        How many files were deleted.
    """
    deleted = 0
    for path in _files(folder):
        try:
            # When it came here, not when it was written: a copy keeps the latter.
            if path not in kept and time.time() - path.lstat().st_ctime > older_than:
                path.unlink()
                deleted += 1
                if path.parent != folder:
                    path.parent.rmdir()
        except OSError:  # gone already, not empty, or not ours to delete
            continue
    return deleted


def is_full(error: BaseException) -> bool:
    """Whether an error, or what it came of, says that a disk or a quota is full."""
    return any(isinstance(cause, OSError) and cause.errno in _FULL for cause in _causes(error))


class _TooMuch(Exception):
    """More comes than an upload may bring."""


def _clean_file(path: Path) -> None:
    """Takes the metadata out of a picture's file; a file that cannot be written anew stays as it is."""
    fresh = path.with_name(f".{path.name[:64]}.{new_request_id()}")
    try:
        content = path.read_bytes()
        cleaned = without_metadata(content)
        if cleaned != content:
            fresh.write_bytes(cleaned)
            fresh.replace(path)
    except (OSError, ValueError) as error:
        logger.error("an upload keeps its metadata: %s", type(error).__name__)
        fresh.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def _refuse(status: int, key: str, scope: Scope, receive: Receive, send: Send) -> None:
    texts = Texts.read()
    sentence = texts.now(key, texts.language_of(Request(scope)))
    await PlainTextResponse(sentence, status_code=status)(scope, receive, send)


def _sentence(key: str, **fields: object) -> str:
    # Rare enough to read the file.
    texts = Texts.read()
    return texts.now(key, texts.language_of(LocalContext.request.get(None)), **fields)
