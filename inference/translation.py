"""English to Spanish and back by MarianMT: sentence by sentence, each different one once.

Knows texts. Knows nothing of pictures, tasks or detections; loc and seg tokens pass through as they are.
"""

import copy
import json
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from transformers import MarianMTModel, MarianTokenizer

from inference.errors import ModelUnavailable
from inference.hub import Hub, ProgressCallback, Repository
from inference.quiet import quiet_loading
from inference.sentences import Sentence

logger = logging.getLogger(__name__)

_FILES = ("*.json", "*.spm", "model.safetensors", "pytorch_model.bin")
"""The Opus models are published as pickled weights, which torch reads as data only (`weights_only`)."""

_PATIENCE = 5.0
"""Seconds to wait for a model that another request is loading: more than one that need not be downloaded takes."""

_SEPARATORS = re.compile(
    r"""(
        \s*\n\s*                                        # a line break
      | (?:\s*<(?:loc\d{4}|seg\d{3})>)+\s*              # location and mask tokens
      | (?<=[.!?…])                                     # a sentence's end …
        (?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMrs\.)(?<!\bSr\.)(?<!\bSra\.)(?<!\be\.g\.)(?<!\bi\.e\.)
        \s+(?=["'“‘«(¿¡]*[\w])(?![a-zà-ÿ])              # … before what may begin one
    )""",
    re.VERBOSE,
)


class Translator:
    """Translates from one language to another.

    Safe to use from several threads: the model runs for one at a time, known texts do not wait for it.

    Args:
        model: In evaluation mode, on its device.
        tokenizer: The model's.
        batch_size: How many sentences are translated at once.
        remembered: How many translations of sentences are kept.
    """

    def __init__(
        self, model: MarianMTModel, tokenizer: MarianTokenizer, *, batch_size: int = 16, remembered: int = 4096
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._remembered = remembered
        self._known: OrderedDict[str, str] = OrderedDict()
        self._known_lock = threading.Lock()
        self._model_lock = threading.Lock()
        # Positions that the model has, less the two that special tokens may take.
        self._limit = max(1, min(model.config.max_position_embeddings, tokenizer.model_max_length) - 2)

    @classmethod
    def load(cls, source: str, *, device: torch.device, hub: Hub | None = None) -> "Translator":
        """Loads a translator in float32: it is small, and exact on any device.

        Args:
            source: A folder, or an id on the hub.
            device: Where it is to run.
            hub: Where models come from.

        Raises:
            ModelUnavailable: It cannot be loaded; the message says why and what would help.
        """
        folder = _checkout(source, hub)
        _check_folder(source, folder)
        try:
            with quiet_loading():
                tokenizer = MarianTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
                model, info = MarianMTModel.from_pretrained(
                    folder,
                    dtype=torch.float32,
                    device_map={"": device},
                    local_files_only=True,
                    trust_remote_code=False,
                    weights_only=True,
                    output_loading_info=True,
                )
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise ModelUnavailable(
                Sentence("The memory of {device} ran out while {name} was loading.", device=str(device), name=source)
            ) from error
        except Exception as error:  # damaged files raise anything
            logger.warning("The translation model %s cannot be loaded", source, exc_info=error)
            raise ModelUnavailable(
                Sentence(
                    "The translation model {name} cannot be loaded: its files are damaged or of another kind.",
                    name=source,
                )
            ) from error
        if info["missing_keys"]:
            raise ModelUnavailable(
                Sentence("The translation model {name} is incomplete: weights are missing.", name=source)
            )
        return cls(model.eval().requires_grad_(False), tokenizer)

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translations, in order; line breaks, loc and seg tokens stay, texts without letters stay as they are.

        Args:
            texts: Each of one or more sentences.

        Raises:
            ModelUnavailable: The model failed, as when memory runs out.
        """
        pieces = [_SEPARATORS.split(text) for text in texts]
        # split gives sentences at even places and what separates them at odd ones.
        wanted = dict.fromkeys(
            sentence.strip() for parts in pieces for sentence in parts[::2] if _has_letters(sentence)
        )
        known = self._look_up(wanted)
        return ["".join(_in_place(part, known) for part in parts) for parts in pieces]

    def _look_up(self, sentences: Mapping[str, None]) -> dict[str, str]:
        """Every sentence with its translation."""
        found = self._recall(sentences)
        if len(found) < len(sentences):
            with self._model_lock:
                # Another thread may have translated some of them while this one waited.
                found |= self._recall([sentence for sentence in sentences if sentence not in found])
                new = [sentence for sentence in sentences if sentence not in found]
                made = self._run(new) if new else {}
                with self._known_lock:
                    self._known |= made
                    while len(self._known) > self._remembered:
                        self._known.popitem(last=False)
                found |= made
        return found

    def _recall(self, sentences: Mapping[str, None] | Sequence[str]) -> dict[str, str]:
        with self._known_lock:
            found = {sentence: self._known[sentence] for sentence in sentences if sentence in self._known}
            for sentence in found:
                self._known.move_to_end(sentence)
        return found

    def _run(self, sentences: Sequence[str]) -> dict[str, str]:
        """Translates sentences that are not known yet, those of like length together."""
        chunks = {sentence: self._fit(sentence) for sentence in sentences}
        order = sorted(dict.fromkeys(chunk for parts in chunks.values() for chunk in parts), key=len)
        translations: dict[str, str] = {}
        try:
            for start in range(0, len(order), self._batch_size):
                batch = order[start : start + self._batch_size]
                translations |= zip(batch, self._generate(batch), strict=True)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise ModelUnavailable(
                Sentence("The text could not be translated because memory ran out. Try again later.")
            ) from error
        except RuntimeError as error:  # what torch raises when a kernel or a device fails
            logger.exception("Translation failed")
            raise ModelUnavailable(
                Sentence("The text could not be translated: the translation model failed.")
            ) from error
        return {sentence: " ".join(translations[chunk] for chunk in parts) for sentence, parts in chunks.items()}

    @torch.inference_mode()
    def _generate(self, batch: Sequence[str]) -> list[str]:
        inputs = self._tokenizer(list(batch), return_tensors="pt", padding=True).to(self._model.device)
        # The model's own way to search, but a bound on length that depends on the text: a translation is seldom twice
        # as long, and one that loops would fill all positions.
        generation = copy.deepcopy(self._model.generation_config)
        generation.max_new_tokens = None
        generation.max_length = min(self._limit, 16 + 2 * inputs["input_ids"].shape[1])
        output = self._model.generate(**inputs, generation_config=generation)
        decoded: list[str] = self._tokenizer.batch_decode(output, skip_special_tokens=True)
        return [text.strip() for text in decoded]

    def _fit(self, text: str) -> list[str]:
        """The text in chunks that the model has positions for, cut at spaces near the middle where there are any."""
        if len(self._tokenizer(text)["input_ids"]) <= self._limit or len(text) < 2:
            return [text]
        middle = len(text) // 2
        spaces = [match.start() for match in re.finditer(r"\s", text)]
        cut = min(spaces, key=lambda place: abs(place - middle), default=middle)
        return [chunk for half in (text[:cut].strip(), text[cut:].strip()) if half for chunk in self._fit(half)]


class Translators:
    """The translators of a model, each loaded when it is first needed.

    Args:
        sources: Direction ("en-es", "es-en") -> a folder or a hub id.
        device: Where they are to run.
        hub: Where models come from.
        retry_after: Seconds for which a failure is remembered, so that a broken hub is not asked at every request.
        clock: Seconds that only ever grow.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        *,
        device: torch.device,
        hub: Hub | None = None,
        retry_after: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = dict(sources)
        self._device = device
        self._hub = hub
        self._retry_after = retry_after
        self._clock = clock
        self._locks = {direction: threading.Lock() for direction in self._sources}
        self._loaded: dict[str, Translator] = {}
        self._failed: dict[str, tuple[float, str]] = {}

    def translate(self, direction: str, texts: Sequence[str]) -> list[str]:
        """The translations, in order; texts without letters need no model.

        Args:
            direction: "en-es" or "es-en".
            texts: See `Translator.translate`.

        Raises:
            ModelUnavailable: There is no translator for this direction, or it cannot be loaded, and why.
        """
        if not any(map(_has_letters, texts)):
            return list(texts)
        return self.get(direction).translate(texts)

    def download(self, progress: ProgressCallback) -> None:
        """Downloads the files that are not there yet, so that nobody who asks has to wait for that.

        Args:
            progress: Is told how far each is; what it raises ends the download.
        """
        with ExitStack() as all_locks:
            for lock in self._locks.values():
                all_locks.enter_context(lock)
            for source in self._sources.values():
                try:
                    _checkout(source, self._hub, progress)
                except ModelUnavailable as error:  # it is tried again, and told, when somebody asks
                    logger.warning("%s", error)

    def get(self, direction: str) -> Translator:
        """The translator of a direction, loaded if it is not yet.

        Args:
            direction: "en-es" or "es-en".

        Raises:
            ModelUnavailable: There is none, or it cannot be loaded, and why.
        """
        if direction not in self._sources:
            raise ModelUnavailable(
                Sentence(
                    "This model has no translator for {direction}, only for: {directions}.",
                    direction=direction,
                    directions=", ".join(self._sources),
                )
            )
        if (translator := self._loaded.get(direction)) is not None:
            return translator
        # One lock for each direction: while one is downloaded, the other can be used. That takes minutes, for which
        # those who wait would hold the threads that answer everybody.
        if not self._locks[direction].acquire(timeout=_PATIENCE):
            raise ModelUnavailable(Sentence("The translation model is still being loaded. Try again in a minute."))
        try:
            if (translator := self._loaded.get(direction)) is not None:
                return translator
            since, sentence = self._failed.get(direction, (0.0, ""))
            if sentence and self._clock() - since < self._retry_after:
                raise ModelUnavailable(sentence)
            try:
                translator = Translator.load(self._sources[direction], device=self._device, hub=self._hub)
            except ModelUnavailable as error:
                self._failed[direction] = (self._clock(), error.sentence)
                raise
            self._loaded[direction] = translator
            return translator
        finally:
            self._locks[direction].release()


def _checkout(source: str, hub: Hub | None, progress: ProgressCallback | None = None) -> Path:
    """The folder of a translation model, downloaded if it is an id on the hub.

    Raises:
        ModelUnavailable: It cannot be had, and why.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or source.count("/") != 1:
        raise ModelUnavailable(
            Sentence("The translation model is not there: the folder {folder} is missing.", folder=source)
        )
    return (hub or Hub()).checkout(Repository(source), patterns=_FILES, progress=progress)


def _check_folder(source: str, folder: Path) -> None:
    """Says what a folder lacks to be a translation model."""
    wanted: Mapping[str, Sequence[str]] = {
        "config.json": ("config.json",),
        "weights": ("model.safetensors", "pytorch_model.bin"),
        "source.spm": ("source.spm",),
        "target.spm": ("target.spm",),
        "vocab.json": ("vocab.json",),
    }
    missing = [what for what, names in wanted.items() if not any((folder / name).exists() for name in names)]
    if missing:
        raise ModelUnavailable(
            Sentence(
                "{name} is not a complete translation model: it has no {files}.", name=source, files=", ".join(missing)
            )
        )
    try:
        kind: Any = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelUnavailable(
            Sentence("The config.json of {name} cannot be read as that of a model.", name=source)
        ) from error
    if kind != "marian":
        raise ModelUnavailable(
            Sentence(
                "{name} is a model of the kind “{kind}”; translation needs one of the kind “marian”.",
                name=source,
                kind=kind,
            )
        )


def _has_letters(text: str) -> bool:
    return any(character.isalpha() for character in _SEPARATORS.sub("", text))


def _in_place(part: str, known: Mapping[str, str]) -> str:
    """A part of a text, translated if it is a sentence with a translation, between the spaces that it had."""
    sentence = part.strip()
    if sentence not in known:
        return part
    start = len(part) - len(part.lstrip())
    return part[:start] + known[sentence] + part[start + len(sentence) :]
