"""The whole page: head, notices, tabs and endpoints put together, and how gradio is to serve them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import gradio as gr

from inference.hosting import ModelHost
from inference.images import Limits
from inference.pipeline import Pipeline
from inference.settings import Settings
from ui import api, components
from ui.ask import AskTab
from ui.banner import Banner
from ui.context import Context
from ui.texts import Texts
from ui.theme import build_theme

ASSETS = Path(__file__).parent.parent / "assets"
HOUR = 3600


class Tab(Protocol):
    """A tab of the page: its own module, its own components, all its wiring."""

    def build(self) -> Sequence[gr.Radio]:
        """Puts the tab on the page and wires it.

        Returns:
            Its choices of models, which change while models load.
        """
        ...


TABS: Mapping[str, Callable[[Context], Tab]] = {"ask": AskTab}
"""The tabs in their order, by the names that their texts and links have."""


def build(pipeline: Pipeline, host: ModelHost, settings: Settings) -> gr.Blocks:
    """The page, ready to be launched.

    Args:
        pipeline: Answers requests.
        host: Says which models there are.
        settings: How the app was started.
    """
    context = Context(
        pipeline=pipeline,
        host=host,
        settings=settings,
        limits=Limits(max_megabytes=settings.max_upload_mb),
        texts=Texts.read(),
    )
    page = gr.Blocks(title="PaliGemma 2", analytics_enabled=False, delete_cache=(HOUR, HOUR))
    with page:
        _build_head(context.texts)
        banner = Banner(context)
        banner.build()
        choices: list[gr.Radio] = []
        with gr.Tabs(elem_id="tabs"):
            for name, tab in TABS.items():
                with gr.Tab(context.texts.later(f"tab.{name}"), id=name, elem_id=f"tab-{name}"):
                    choices += tab(context).build()
        banner.wire(page, choices)
        api.build(context)
    # With an open API a direct POST would go round the queue, and round its limit.
    page.queue(api_open=False, max_size=settings.max_queue)
    return page


def launch_options(settings: Settings) -> dict[str, Any]:
    """How `gr.Blocks.launch` is to serve the page."""
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "share": settings.share,
        "auth": settings.auth,
        "max_file_size": f"{int(settings.max_upload_mb * 1024)}kb",
        "mcp_server": settings.mcp,
        "show_error": False,
        "run_history": False,
        "footer_links": ["api", "gradio", "settings"],
        "state_session_capacity": 256,
        "theme": build_theme(),
        "css_paths": sorted((ASSETS / "styles").glob("*.css")),
        "js": "\n".join(path.read_text("utf-8") for path in sorted((ASSETS / "scripts").glob("*.js"))),
        "i18n": Texts.read().i18n(),
    }


def _build_head(texts: Texts) -> None:
    components.html(
        '<header class="head"><span class="mark" aria-hidden="true"></span><div><h1>PaliGemma 2</h1>'
        f"<p>{texts.later('app.tagline')}</p></div></header>",
        elem_id="head",
    )
