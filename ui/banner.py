"""The notices at the top of the page: which models load, which could not, and what the embedded one is for.

Knows the states of models. Knows nothing of requests.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from inference.hosting import ModelStatus
from ui import components, markup
from ui.context import PRIVATE, Context
from ui.markup import Words

SETTLED = ("ready", "failed")

REAL_MODEL_COMMAND = "python app.py --model 3b"


class Banner:
    """The notices, kept up to date until every model is ready or has failed.

    Args:
        context: What it talks to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def build(self) -> None:
        """Puts the notices on the page."""
        settled, pending = notices(self._context.host.statuses(), self._context.words(None))
        # In two parts: what is written anew every second closes what a reader has unfolded.
        self._settled = components.html(settled, elem_id="banner")
        self._pending = components.html(pending, elem_id="loading")
        self._timer = gr.Timer(1.0)

    def wire(self, page: gr.Blocks, choices: Sequence[gr.Radio]) -> gr.events.Dependency:
        """Refreshes the notices and the choices of models when the page opens, and every second while models load.

        Returns:
            What happens when the page opens.
        """
        outputs = [self._settled, self._pending, self._timer, *choices]
        self.ticked = self._timer.tick(self.refresh, inputs=list(choices), outputs=outputs, **PRIVATE)
        return page.load(self.refresh, inputs=list(choices), outputs=outputs, **PRIVATE)

    def refresh(self, visitor: gr.Request, *chosen: str | None) -> list[Any]:
        """The notices now, whether to ask again, and the models to choose from.

        Args:
            visitor: Who reads it.
            chosen: The models that are chosen now.
        """
        statuses = self._context.host.statuses()
        settled = all(status.state in SETTLED for status in statuses)
        names = [status.name for status in statuses]
        # A model that was asked for as `3b` has another name once it is loaded.
        loaded = {status.asked: status.name for status in statuses}
        ready = next((status.name for status in statuses if status.state == "ready"), None)
        return [
            *notices(statuses, self._context.words(visitor)),
            gr.Timer(active=not settled),
            *(
                gr.update(
                    choices=names,
                    visible=len(names) > 1,
                    # One that stays is not sent back: another may have been chosen meanwhile.
                    **({} if name in names else {"value": loaded.get(name or "", ready)}),
                )
                for name in chosen
            ),
        ]


def notices(statuses: Sequence[ModelStatus], words: Words) -> tuple[str, str]:
    """A notice for each model that has something to say: of the settled ones, and of those that load or wait."""
    first = next((status for status in statuses if status.embedded), None)  # what it says holds for its variants too
    made: dict[bool, str] = {True: "", False: ""}
    for status in statuses:
        shown = status if status is first else replace(status, embedded=False)
        made[status.state in SETTLED] += _notice(shown, words)
    return made[True], made[False]


def _notice(status: ModelStatus, words: Words) -> str:
    def text(key: str, **fields: str) -> str:
        return words.now(f"banner.{key}", name=status.name, **fields)

    detail = words.tell(status.detail)
    if status.state == "failed":
        return markup.banner(text("failed"), text=detail, tone="error")
    if status.state == "loading":
        return markup.banner(text("loading"), text=detail, progress=status.progress)
    if status.state == "waiting":
        return markup.banner(text("waiting"), text=detail)
    notice = ""
    if status.embedded:
        how = text("embedded_how", scope=text("embedded_scope"), reason=detail)
        more = (text("embedded_how_title"), how, REAL_MODEL_COMMAND)
        notice = markup.banner(text("embedded_title"), text=text("embedded_text"), more=more)
    if status.mask_problem:
        why = words.tell(status.mask_problem)
        notice += markup.banner(text("masks"), text=why, tone="warning")
    return notice
