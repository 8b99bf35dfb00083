"""Links that reopen the page as it was: the tab, the task and its fields; never the picture.

Knows addresses and what may stand in them. What comes in an address is checked like anything that a stranger sends, and
what is not known or not allowed there is left out.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import gradio as gr

from inference.batch import MAX_NEW_TOKENS
from inference.tasks import LANGUAGES, LENGTHS, MAX_TEXT_CHARACTERS, TASKS, Task
from ui.context import PRIVATE, Context
from ui.inputs import Inputs

TEXTS = ("question", "answer", "objects", "prompt")
SWITCHES = ("translate", "typed_in_spanish")
COPY = "(...values) => copyLink({about}, values)"
"""What the button does in the browser; the function is in `assets/scripts/links.js`."""


class Links:
    """Reads the address when the page opens, and copies one that reopens it.

    Args:
        context: What the page talks to.
        fields: The form of the first tab.
    """

    def __init__(self, context: Context, fields: Inputs) -> None:
        self._context = context
        self._fields = {name: field for name, field in vars(fields).items() if name != "image"}

    def build(self) -> None:
        """Puts the button on the page."""
        self._copy = gr.Button(
            self._context.texts.later("link.copy"),
            size="sm",
            variant="secondary",
            elem_id="copy-link",
        )
        about = {"names": list(self._fields), "needs": {task.name: needed_by(task) for task in TASKS.values()}}
        script = COPY.format(about=json.dumps(about))
        # In the queue, without which gradio has no way to show a message.
        self._copy.click(self.copied, list(self._fields.values()), js=script, **(PRIVATE | {"queue": True}))

    def wire(self, opened: gr.events.Dependency, tabs: gr.Tabs) -> None:
        """Fills the page from its address.

        Args:
            opened: What happens when the page opens, before this.
            tabs: The page's tabs, whose ids are their names.
        """
        self._tabs = tabs
        opened.then(self.open, outputs=[tabs, *self._fields.values()], **PRIVATE)

    def open(self, visitor: gr.Request) -> dict[Any, Any]:
        """What the address asks for, and Spanish too for who reads the page in Spanish."""
        parameters = dict(visitor.query_params)
        models: dict[str, str] = {}
        for status in self._context.host.statuses():
            models |= {status.asked: status.name, status.name: status.name}
        update: dict[Any, Any] = {self._tabs: gr.skip()}
        if self._context.texts.language_of(visitor) == "es":
            update[self._fields["translate"]] = True
        for name, value in fields_of(parameters, models=models).items():
            update[self._fields[name]] = value
        known = {child.id for child in self._tabs.children if isinstance(child, gr.Tab)}
        if (tab := parameters.get("tab")) in known:
            update[self._tabs] = gr.Tabs(selected=tab)
        return update

    def copied(self, visitor: gr.Request, *_: Any) -> None:
        """Says so; the browser has done it by then."""
        gr.Info(self._context.words(visitor).now("link.copied"), duration=4)


def needed_by(task: Task) -> list[str]:
    """The fields that a link to a task holds, by their names in `Inputs`; the task itself first."""
    return [
        "task",
        *([task.text, "typed_in_spanish"] if task.text else []),
        *(["length"] if task.has_length else []),
        *(["language"] if task.has_language else []),
        "translate",
        "model",
        "max_tokens",
    ]


def fields_of(parameters: Mapping[str, str], *, models: Mapping[str, str]) -> dict[str, Any]:
    """The values that an address gives to fields of the form; nothing without a task that there is.

    Args:
        parameters: Those of the address.
        models: The names that models may have in an address, and those that they have on the page.
    """
    task = TASKS.get(parameters.get("task", ""))
    if task is None:
        return {}
    values: dict[str, Any] = {"task": task.name}
    for name in needed_by(task)[1:]:
        value = parameters.get(name)
        if value is None:
            continue
        if name in TEXTS and len(value) <= MAX_TEXT_CHARACTERS:
            values[name] = value
        elif name in SWITCHES:
            values[name] = value == "1"
        elif name in _CHOICES and value in _CHOICES[name]:
            values[name] = value
        elif name == "model" and value in models:
            values[name] = models[value]
        elif name == "max_tokens" and value in _TOKENS:
            values[name] = int(value)
    return values


_TOKENS = frozenset(map(str, range(MAX_NEW_TOKENS + 1)))
_CHOICES: Mapping[str, Collection[str]] = {"length": LENGTHS, "language": LANGUAGES}
