"""The registry of tasks: for each, the prompt it makes, the inputs it needs and the kind of answer it gives.

A new task is an entry here, an endpoint in `ui.api` and its words in `assets/texts`; all else follows it. Knows the
prompt grammar of PaliGemma 2 mix; knows neither tokens nor models.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from PIL import Image

from inference.errors import InvalidInput
from inference.sentences import Sentence
from inference.types import Request

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "en": "English", "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
        "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fil": "Filipino", "fr": "French", "he": "Hebrew",
        "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
        "ko": "Korean", "mi": "Maori", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
        "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "sw": "Swahili", "te": "Telugu", "th": "Thai",
        "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
    }
)  # fmt: skip
"""The languages that the checkpoints were trained on (COCO-35L), English first."""

LENGTHS: Mapping[str, str] = MappingProxyType({"short": "cap", "medium": "caption", "long": "describe"})
"""The prefix for each length of description."""

Output = Literal["text", "boxes", "masks"]

MAX_TEXT_CHARACTERS = 1000
"""A cheap first bound on what a person may type; the engine's bound in tokens is the real one."""

# Wider than the vocabulary (other cases, spaces, closing tags), so that no look-alike reads as a token to a person
# either. The last kinds are in Gemma's vocabulary only.
_SPECIAL_TOKEN = re.compile(
    r"<(?=/?\s*(?:image|bos|eos|pad|unk|mask|loc[0-9]+|seg[0-9]+|start_of_turn|end_of_turn"
    r"|start_of_image|end_of_image|image_soft_token|unused[0-9]+|2mass|0x[0-9a-f]{2})\s*>)"
    r"|\[(?=@bos@\])",
    re.IGNORECASE,
)
_LOCATION_TOKEN = re.compile(r"<loc([0-9]{4})>|<seg([0-9]{3})>")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that a person can ask of the model.

    Attributes:
        name: Its key in `TASKS` and the name of its API endpoint.
        output: What the answer holds.
        prompt: Makes the prompt from a request with cleaned text.
        text: The name of the text that it needs ("question", "objects" …), or None if it needs none.
        has_length, has_language: Whether these fields of the request matter to it.
        max_new_tokens: Where its answer is cut unless the request says otherwise.
    """

    name: str
    output: Output
    prompt: Callable[[Request], str]
    text: str | None = None
    has_length: bool = False
    has_language: bool = False
    max_new_tokens: int = 128


def _describe(request: Request) -> str:
    return f"{LENGTHS[request.length]} {request.language}"


def _read_text(_: Request) -> str:
    return "ocr"


# Each cleans its text, clean already or not: a translator may write brackets that nobody typed.


def _answer(request: Request) -> str:
    return f"answer {request.language} {clean_text(request.text)}"


def _ask(request: Request) -> str:
    return f"question {request.language} {clean_text(request.text)}"


def _detect(request: Request) -> str:
    return f"detect {_objects(request)}"


def _segment(request: Request) -> str:
    return f"segment {_objects(request)}"


def _objects(request: Request) -> str:
    # Split first: cleaning takes line breaks, which separate, for spaces.
    names = (clean_text(name) for name in split_objects(request.text))
    return " ; ".join(dict.fromkeys(name for name in names if name))


def _prompt(request: Request) -> str:
    return clean_text(request.text, keep_location_tokens=True)


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task("describe", "text", _describe, has_length=True, has_language=True, max_new_tokens=256),
            Task("read_text", "text", _read_text, max_new_tokens=256),
            Task("answer", "text", _answer, text="question", has_language=True, max_new_tokens=128),
            Task("ask", "text", _ask, text="answer", has_language=True, max_new_tokens=128),
            Task("detect", "boxes", _detect, text="objects", max_new_tokens=256),
            Task("segment", "masks", _segment, text="objects", max_new_tokens=512),
            Task("prompt", "masks", _prompt, text="prompt", max_new_tokens=512),
        )
    }
)
"""Every task by its name, in the order in which the page shows them."""


def split_objects(text: str) -> list[str]:
    """The objects that a person asked for, in order, without empty ones and repeats.

    Args:
        text: Names separated by semicolons, commas or line breaks, those that a Chinese keyboard types included.
    """
    names = (_SPACES.sub(" ", name).strip(" .") for name in re.split(r"[;,\n；，、]", text))
    return list(dict.fromkeys(name for name in names if name))


def clean_text(text: str, *, keep_location_tokens: bool = False) -> str:
    """Makes typed text safe to put into a prompt.

    Unicode is brought to NFC, control and direction characters are taken out, white space is collapsed, and what would
    encode as a special token loses its bracket, so that `<image>` in a question stays text.

    Args:
        text: As typed.
        keep_location_tokens: Leave `<loc0000>`–`<loc1023>` and `<seg000>`–`<seg127>` as they are (raw prompts may
            hold a region on purpose).
    """
    # Format characters (soft hyphens, direction marks) vanish, since they stand inside words; the others separate them.
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    text = "".join(character if unicodedata.category(character)[0] != "C" else " " for character in text)
    text = unicodedata.normalize("NFC", text)  # last: an accent may have stood behind a character that vanished
    text = _SPACES.sub(" ", text).strip()

    def neutralise(match: re.Match[str]) -> str:
        if keep_location_tokens and (token := _LOCATION_TOKEN.match(text, match.start())):
            location, code = token.groups()
            if (location and int(location) <= 1023) or (code and int(code) <= 127):
                return "<"
        return "‹" if match.group() == "<" else "("

    return _SPECIAL_TOKEN.sub(neutralise, text)


def check(request: Request) -> Task:
    """The task of a request whose choices and text are allowed.

    Raises:
        InvalidInput: The task, length or language is unknown, or the text is missing or too long.
    """
    task = TASKS.get(request.task)
    if task is None:
        raise InvalidInput(_unknown("Unknown task “{value}”. The tasks are: {allowed}.", request.task, TASKS))
    if task.has_length and request.length not in LENGTHS:
        raise InvalidInput(_unknown("Unknown length “{value}”. It can be {allowed}.", request.length, LENGTHS))
    if task.has_language and request.language not in LANGUAGES:
        raise InvalidInput(
            _unknown("Unknown language “{value}”. It can be one of: {allowed}.", request.language, LANGUAGES)
        )
    if request.input_language not in ("en", "es"):
        raise InvalidInput(Sentence("What you type can be in English (en) or Spanish (es)."))
    if len(request.text) > MAX_TEXT_CHARACTERS:
        raise InvalidInput(
            Sentence(
                "The text is {length:,} characters long; at most {most:,} are allowed.",
                length=len(request.text),
                most=MAX_TEXT_CHARACTERS,
            )
        )
    if task.text is not None and not clean_text(request.text):
        raise InvalidInput(Sentence(_MISSING[task.text]))
    if task.text == "objects" and not split_objects(clean_text(request.text)):
        raise InvalidInput(Sentence(_MISSING["objects"]))
    return task


def read_command(command: str) -> Request:
    """The request that a prompt in the model's grammar stands for, on an empty picture.

    A prompt that is none of a task's, and one that holds a region as location tokens, is an open-ended one.

    Args:
        command: As typed; capital letters make no difference in its first word.
    """
    empty = Request(Image.new("RGB", (1, 1)), "prompt", text=command)
    words = command.split(maxsplit=2)
    if not words or _LOCATION_TOKEN.search(command):
        return empty
    verb, language = words[0].lower(), words[1].lower() if len(words) > 1 else ""
    rest = words[2] if len(words) > 2 else ""
    lengths = {prefix: length for length, prefix in LENGTHS.items()}
    if verb in ("detect", "segment"):
        return replace(empty, task=verb, text=command.strip()[len(verb) :])
    if verb == "ocr" and len(words) == 1:
        return replace(empty, task="read_text", text="")
    if language in LANGUAGES:
        if verb in lengths and not rest:
            return replace(empty, task="describe", text="", length=lengths[verb], language=language)
        if verb in ("answer", "question"):
            return replace(empty, task="answer" if verb == "answer" else "ask", text=rest, language=language)
    return empty


def _unknown(template: str, value: str, allowed: Iterable[str]) -> Sentence:
    # No more of it than makes it known again; what cannot be seen would only spoil the sentence.
    return Sentence(template, value=clean_text(value[:40]), allowed=", ".join(allowed))


_MISSING: Mapping[str, str] = MappingProxyType(
    {
        "question": "Type a question about the picture.",
        "answer": "Type the answer whose question you want.",
        "objects": "Name at least one thing to look for; separate several by “;”.",
        "prompt": "Type a prompt for the model.",
    }
)
