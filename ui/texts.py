"""The words of the page in every language that it speaks, read from `assets/texts`.

Knows which language a visitor reads. Knows no components.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent.parent / "assets" / "texts"
DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class Texts:
    """Every text of the page, by language and key.

    Gradio translates what stands in a component when it is built (`later`). What the server writes while it answers
    is looked up here, in the language of the visitor's browser (`now`).
    """

    by_language: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, folder: Path = FOLDER) -> "Texts":
        """Reads one JSON file a language, named for the language."""
        return cls({path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))})

    def i18n(self) -> gr.I18n:
        """The texts as gradio sends them to the browser."""
        return gr.I18n(**{language: dict(texts) for language, texts in self.by_language.items()})

    def later(self, key: str) -> str:
        """A mark that the browser replaces by the text in its own language.

        Raises:
            KeyError: There is no such text.
        """
        if key not in self.by_language[DEFAULT]:
            raise KeyError(key)
        return str(gr.I18n()(key))

    def now(self, key: str, language: str, **fields: object) -> str:
        """The text in a language, with its fields filled in; English where there is no other."""
        texts = self.by_language.get(language, self.by_language[DEFAULT])
        return texts.get(key, self.by_language[DEFAULT][key]).format(**fields)

    def language_of(self, request: gr.Request | None) -> str:
        """The first language of the visitor's browser that the page speaks.

        Args:
            request: Of the visitor; None means that nobody is known to read it.
        """
        header = "" if request is None else request.headers.get("accept-language", "")
        for wanted in header.split(","):
            language = wanted.split(";")[0].split("-")[0].strip().lower()
            if language in self.by_language:
                return language
        return DEFAULT
