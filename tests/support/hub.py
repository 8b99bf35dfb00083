"""A stand-in for the model hub on loopback: enough of its HTTP API for `huggingface_hub`, with the hub's own refusals.

    with StandInHub() as hub:
        hub.add("google/paligemma2-3b-mix-448", folder, gated=True)
        ...  # HF_ENDPOINT, or Hub(endpoint=hub.url)

Status codes and `X-Error-Code` headers are those of huggingface.co: the description of a gated repository is public,
its files are not; a repository that is not there is a 401 to strangers and a 404 to users.
"""

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

MEMBER = "hf_member"
"""The token of an account that has accepted every licence."""

STRANGER = "hf_stranger"
"""The token of an account that has accepted none."""

_LARGE = (".safetensors", ".bin", ".npz", ".spm")
_PIECE = 64 * 1024


@dataclass(slots=True)
class Served:
    """A repository, and what is wrong with it.

    Attributes:
        files: Path -> content.
        gated: Whether its files are only for `MEMBER`.
        status: The hub answers every request for it with this error, if it is not 0.
        cut: Path -> how often its transfer breaks off half way; "always" also hides the file's length, as a proxy
            does, so that the break looks like the end.
        slow: Answers wait for `StandInHub.release`.
        claims: Path -> the size that the description gives, instead of the true one.
    """

    files: dict[str, bytes]
    gated: bool = False
    status: int = 0
    cut: dict[str, int | Literal["always"]] = field(default_factory=dict)
    slow: bool = False
    claims: dict[str, int] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        """The commit's hash: another one for other content."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path, content in sorted(self.files.items()):
            digest.update(path.encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()

    def describe(self) -> list[dict[str, object]]:
        """Path, size and hashes of every file."""
        return [
            {
                "path": path,
                "size": self.claims.get(path, len(content)),
                "oid": etag(path, content, large=False),
                "sha256": etag(path, content, large=True) if path.endswith(_LARGE) else None,
            }
            for path, content in self.files.items()
        ]


class StandInHub:
    """Serves repositories while it is entered; every request is in `requests`, as "GET /path"."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Served] = {}
        self.requests: list[str] = []
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        self._released = threading.Event()
        hub = self

        class Handler(_Handler):
            stand_in = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, name: str, files: Path | Mapping[str, bytes], *, kind: str = "model", gated: bool = False) -> Served:
        """Puts a repository on the hub.

        Args:
            name: "organisation/name".
            files: A folder, or path -> content.
            kind: "model" or "space".
            gated: Whether its licence must be accepted.
        """
        if isinstance(files, Path):
            files = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        served = self.repositories[kind, name] = Served(dict(files), gated=gated)
        return served

    def downloads(self) -> list[str]:
        """The paths of the files that were asked for, by GET."""
        return [
            request.split("/resolve/")[1]
            for request in self.requests
            if request.startswith("GET") and "/resolve/" in request
        ]

    def release(self) -> None:
        """Lets slow repositories answer."""
        self._released.set()

    def wait_for_release(self) -> None:
        """Blocks an answer until `release`, or until the hub goes away."""
        self._released.wait()

    def close(self) -> None:
        """Goes away: connections that are open break off, new ones are refused."""
        if self._thread.is_alive():
            self._released.set()
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def etag(path: str, content: bytes, *, large: bool | None = None) -> str:
    """The hub's name for a content: its SHA-256 for large files, else git's hash of it as a blob."""
    if large if large is not None else path.endswith(_LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandInHub
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        with self.stand_in.lock:
            self.stand_in.connections.add(self.connection)

    def finish(self) -> None:
        with self.stand_in.lock:
            self.stand_in.connections.discard(self.connection)
        with contextlib.suppress(OSError):  # there may be nobody left to flush to
            super().finish()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        return None

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        with self.stand_in.lock:
            self.stand_in.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) >= 4:
            kind, name, rest = parts[1].removesuffix("s"), "/".join(parts[2:4]), parts[4:]
        else:
            kind = "space" if parts[0] == "spaces" else "model"
            parts = parts[1:] if kind == "space" else parts
            name, rest = "/".join(parts[:2]), parts[2:]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        served = self.stand_in.repositories.get((kind, name))
        if served is not None and served.slow:
            self.stand_in.wait_for_release()
        if token not in ("", MEMBER, STRANGER):
            return self._refuse(401, "Invalid credentials in Authorization header")
        if served is None:
            if token:
                return self._refuse(404, "Repository not found", code="RepoNotFound")
            return self._refuse(401, "Invalid username or password.", code="RepoNotFound")
        if served.status:
            return self._refuse(served.status, "The hub has a problem.")
        if len(rest) > 1 and rest[1] not in ("main", served.commit):
            return self._refuse(404, "Invalid rev id", code="RevisionNotFound")
        if parts[0] == "api" and rest[:1] == ["tree"]:
            return self._send_json([_entry(file) for file in served.describe()])
        if parts[0] == "api":
            siblings = [_sibling(file) for file in served.describe()]
            return self._send_json({"id": name, "sha": served.commit, "siblings": siblings, "gated": served.gated})
        if served.gated and token != MEMBER:
            if token:
                message = f"Access to {kind} {name} is restricted and you are not in the authorized list."
                return self._refuse(403, message, code="GatedRepo")
            message = f"Access to {kind} {name} is restricted. You must have access to it and be authenticated."
            return self._refuse(401, message, code="GatedRepo")
        file = "/".join(rest[2:])
        if file not in served.files:
            return self._refuse(404, "Entry not found", code="EntryNotFound", commit=served.commit)
        return self._send_file(served, file)

    def _send_file(self, served: Served, file: str) -> None:
        content = served.files[file]
        start = 0
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        with self.stand_in.lock:
            cut = served.cut.get(file, 0)
            if isinstance(cut, int) and cut and self.command == "GET":
                served.cut[file] = cut - 1
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{etag(file, content)}"')
        self.send_header("X-Repo-Commit", served.commit)
        if file.endswith(_LARGE):
            self.send_header("X-Linked-ETag", f'"{etag(file, content)}"')
            self.send_header("X-Linked-Size", str(len(content)))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        whole = cut != "always" or self.command == "HEAD"
        if whole:
            self.send_header("Content-Length", str(len(content) - start))
        if cut:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        end = start + (len(content) - start) // 2 if cut else len(content)
        for piece in range(start, end, _PIECE):
            self.wfile.write(content[piece : min(end, piece + _PIECE)])

    def _send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _refuse(self, status: int, message: str, *, code: str | None = None, commit: str | None = None) -> None:
        body = json.dumps({"error": message}).encode()
        self.send_response(status)
        self.send_header("X-Error-Message", message)
        if code:
            self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _entry(file: dict[str, object]) -> dict[str, object]:
    """A file as `/tree` has it."""
    large = {"lfs": {"oid": file["sha256"], "size": file["size"], "pointerSize": 134}} if file["sha256"] else {}
    return {"type": "file", "path": file["path"], "size": file["size"], "oid": file["oid"], **large}


def _sibling(file: dict[str, object]) -> dict[str, object]:
    """A file as the description of a repository has it."""
    large = {"lfs": {"sha256": file["sha256"], "size": file["size"], "pointerSize": 134}} if file["sha256"] else {}
    return {"rfilename": file["path"], "size": file["size"], "blobId": file["oid"], **large}
