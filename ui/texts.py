"""The words of the page in every language that it speaks, read from `assets/texts`.

Knows which language a visitor reads. Knows no components.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from inference.sentences import Sentence

FOLDER = Path(__file__).parent.parent / "assets" / "texts"
DEFAULT = "en"

_COOKIE = re.compile(r"(?:^|;\s*)page_language=([a-z]{2})(?:;|$)")
"""What `assets/scripts/language.js` says about the language in which gradio shows the page."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Every text of the page, by language and key.

    Gradio translates what stands in a component when it is built (`later`). What the server writes while it answers
    is looked up here, in the language of the visitor's browser (`now`), and so are the sentences of the layers below
    (`tell`), by their English templates.

    Attributes:
        by_language: Language -> key -> text.
        sentences: Language -> English template of a `Sentence` -> template in that language.
    """

    by_language: Mapping[str, Mapping[str, str]]
    sentences: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path = FOLDER) -> "Texts":
        """Reads a folder a language: `sentences.json`, and a file for each part of the page."""
        by_language: dict[str, dict[str, str]] = {}
        sentences: dict[str, dict[str, str]] = {}
        for path in sorted(folder.glob("*/*.json")):
            kind = sentences if path.stem == "sentences" else by_language
            kind.setdefault(path.parent.name, {}).update(json.loads(path.read_text("utf-8")))
        return cls(by_language, sentences)

    def i18n(self, **fields: object) -> gr.I18n:
        """The texts as gradio sends them to the browser.

        Args:
            fields: What is the same for every visitor, and stands in texts that the browser puts in.
        """

        def filled(text: str) -> str:
            for name, value in fields.items():
                text = text.replace(f"{{{name}}}", str(value))
            return text

        return gr.I18n(
            **{
                language: {key: filled(text) for key, text in texts.items()}
                for language, texts in self.by_language.items()
            }
        )

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

    def tell(self, sentence: str, language: str) -> str:
        """A sentence of the layers below in a language; as it is where there is no translation of its template."""
        if not isinstance(sentence, Sentence):
            return sentence
        template = self.sentences.get(language, {}).get(sentence.template)
        if template is None:
            return sentence
        fields = {
            name: self.tell(value, language) if isinstance(value, str) else value
            for name, value in sentence.fields.items()
        }
        return template.format(**fields) if fields else template

    def language_of(self, request: gr.Request | None) -> str:
        """The language in which the visitor sees the page; until that is known, the browser's first that there is.

        Args:
            request: Of the visitor; None means that nobody is known to read it.
        """
        headers = {} if request is None else request.headers
        shown = _COOKIE.search(headers.get("cookie", ""))
        if shown and shown[1] in self.by_language:
            return shown[1]
        for wanted in headers.get("accept-language", "").split(","):
            language = wanted.split(";")[0].split("-")[0].strip().lower()
            if language in self.by_language:
                return language
        return DEFAULT
