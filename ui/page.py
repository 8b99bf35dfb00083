"""The whole page: head, notices, tabs and endpoints put together, and how gradio is to serve them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from inference.hosting import ModelHost
from inference.images import Limits
from inference.pipeline import Pipeline
from inference.settings import Settings
from ui import api, components
from ui.ask import AskTab
from ui.banner import Banner
from ui.batch import BatchTab
from ui.compare import CompareTab
from ui.context import PRIVATE, Context
from ui.delivery import Delivery
from ui.door import CallDoor, Page, UploadDoor
from ui.service import keep_the_mail_of_the_present, login, rest_between_events, threads_for
from ui.texts import Texts
from ui.theme import build_theme
from ui.tools import ToolServer
from ui.video import VideoTab
from ui.visitors import Visitors

ASSETS = Path(__file__).parent.parent / "assets"
HOUR = 3600

DECODED_AT_ONCE = 2
"""Pictures: each of the largest takes some 600 MB for a moment, and decoding more than cores are there helps nobody."""


class Tab(Protocol):
    """A tab of the page: its own module, its own components, all its wiring."""

    def build(self) -> Sequence[gr.Radio]:
        """Puts the tab on the page and wires it.

        Returns:
            Its choices of models, which change while models load.
        """
        ...

    @property
    def translate(self) -> gr.Checkbox:
        """Whether answers come in Spanish too."""
        ...


TABS: Mapping[str, Callable[[Context], Tab]] = {
    "ask": AskTab,
    "batch": BatchTab,
    "video": VideoTab,
    "compare": CompareTab,
}
"""The tabs in their order, by the names that their texts and links have."""


def build(pipeline: Pipeline, host: ModelHost, settings: Settings, *, visitors: Visitors | None = None) -> Page:
    """The page, ready to be launched.

    Args:
        pipeline: Answers requests.
        host: Says which models there are.
        settings: How the app was started.
        visitors: Lets requests in; by default as the settings say.
    """
    context = Context(
        pipeline=pipeline,
        host=host,
        settings=settings,
        limits=Limits(max_megabytes=settings.max_upload_mb, decoding=threading.BoundedSemaphore(DECODED_AT_ONCE)),
        texts=Texts.read(),
        visitors=visitors or Visitors(at_once=settings.max_per_visitor),
    )
    page = Page(title="PaliGemma 2", analytics_enabled=False, delete_cache=(HOUR, HOUR))
    with page:
        api.build(context)  # first, so that no handler of the page takes the name of an endpoint
        _build_head(context.texts)
        banner = Banner(context)
        banner.build()
        choices: list[gr.Radio] = []
        made = {name: tab(context) for name, tab in TABS.items()}
        with gr.Tabs(elem_id="tabs") as tabs:
            for name, tab in made.items():
                with gr.Tab(context.texts.later(f"tab.{name}"), id=name, elem_id=f"tab-{name}"):
                    choices += tab.build()
        opened = banner.wire(page, choices)
        others = []
        for tab in made.values():
            if isinstance(tab, AskTab):
                tab.links.wire(opened, tabs)
                tab.shelf.wire(opened, banner.ticked)
            else:  # where no address says otherwise
                others.append(tab.translate)

        def in_spanish(visitor: gr.Request) -> dict[gr.Checkbox, Any]:
            chosen = True if context.texts.language_of(visitor) == "es" else gr.skip()
            return dict.fromkeys(others, chosen)

        opened.then(in_spanish, outputs=others, **PRIVATE)
    # With an open API a direct POST would go round the queue, and round its limit.
    page.queue(api_open=False, max_size=settings.max_queue)
    keep_the_mail_of_the_present(page)
    rest_between_events(page)
    page.tools = ToolServer(context) if settings.mcp else None
    return page


def launch_options(settings: Settings, page: Page, *, routes: Sequence[BaseRoute] = ()) -> dict[str, Any]:
    """How `gr.Blocks.launch` is to serve the page.

    Args:
        settings: How the app was started.
        page: What `build` made.
        routes: Addresses beside the page's own.
    """
    largest = max(settings.max_upload_mb, settings.max_video_mb)
    app: dict[str, Any] = {
        "middleware": [
            Middleware(Delivery),
            Middleware(UploadDoor, max_megabytes=largest, keep_for=HOUR),
            Middleware(CallDoor),
        ],
        "routes": list(routes),
    }
    if page.tools is not None:
        app |= {"routes": [*routes, *page.tools.routes], "lifespan": page.tools.lifespan}
    styles = sorted((ASSETS / "styles").glob("*.css"))
    if page.tools is None:
        styles.append(ASSETS / "styles" / "without" / "mcp.css")
    return {
        "server_name": f"[{settings.host}]" if ":" in settings.host else settings.host,  # as it stands in addresses
        "server_port": settings.port,
        "share": settings.share,
        "auth": login(settings.auth) if settings.auth else None,
        "max_threads": threads_for(settings),
        # A picture may be smaller than this; that is checked where it is opened.
        "max_file_size": f"{int(largest * 1024)}kb",
        "mcp_server": False,  # `ui.tools` is one
        "app_kwargs": app,
        "show_error": False,
        "run_history": False,
        "enable_monitoring": False,  # or each visit of /monitoring prints the key to it
        "footer_links": ["api", "gradio", "settings"],
        "state_session_capacity": 1024,
        "theme": build_theme(),
        "css_paths": styles,
        "js": "\n".join(path.read_text("utf-8") for path in sorted((ASSETS / "scripts").glob("*.js"))),
        "i18n": Texts.read().i18n(max_batch=settings.max_batch),
    }


def _build_head(texts: Texts) -> None:
    components.html(
        '<header class="head"><span class="mark" aria-hidden="true"></span><div><h1>PaliGemma 2</h1>'
        f"<p>{texts.later('app.tagline')}</p></div></header>",
        elem_id="head",
    )
    # Of its own, since gradio puts in one text a component; `assets/scripts/language.js` reads it.
    components.html(f"<span>{texts.later('page.language')}</span>", elem_id="page-language")
