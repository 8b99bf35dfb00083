"""How the page travels: packed where gradio sends it as it is, and kept by browsers where it cannot change.

Knows HTTP and the addresses of gradio's own files. Knows nothing of what is on the page.
"""

import re

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUILT = re.compile(r"/assets/.+-[\w-]{8,}\.(js|css)$")
"""Files of gradio's page, with a hash of their content in their names."""


class Delivery:
    """ASGI middleware for the page itself and the files that it is made of.

    Gradio packs files by what their names end in, so not the page, of 400 kB, whose address has no such end; and says
    of none how long it stays the same, so that browsers ask anew for a hundred files.

    Args:
        app: What it stands before.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._packed = GZipMiddleware(app, compresslevel=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets everything else pass."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
        elif scope["path"] == "/":
            await self._packed(scope, receive, send)
        elif _BUILT.search(scope["path"]):
            await self._app(scope, receive, _kept(send))
        else:
            await self._app(scope, receive, send)


def _kept(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] in (200, 304):
            MutableHeaders(scope=message)["Cache-Control"] = "public, max-age=31536000, immutable"
        await send(message)

    return marked
