"""What lies in a checkpoint's folder: whether it is whole and of the right kind, seen before anything is loaded.

Knows file names, a configuration and the headers of weight files. Reads no weights.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from transformers import PaliGemmaConfig

from inference.checkpoints import Checkpoint
from inference.errors import ModelUnavailable
from inference.hub import gigabytes
from inference.sentences import Sentence


def read_config(checkpoint: Checkpoint, folder: Path) -> PaliGemmaConfig:
    """The configuration of a PaliGemma 2 checkpoint; of anything else a plain error."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = values["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            Sentence("The config.json of {name} cannot be read as that of a model.", name=checkpoint.name)
        ) from error
    if kind != "paligemma":
        raise ModelUnavailable(
            Sentence(
                "{name} is a model of the kind “{kind}”; this app runs PaliGemma 2 (“paligemma”) checkpoints.",
                name=checkpoint.name,
                kind=kind,
            )
        )
    text = values.get("text_config")
    text_kind = text.get("model_type", "gemma") if isinstance(text, dict) else "gemma"
    if text_kind != "gemma2":
        named = {"name": checkpoint.name, "kind": text_kind}
        if text_kind == "gemma":
            raise ModelUnavailable(
                Sentence(
                    "{name} is a PaliGemma checkpoint of the first generation with the text model “{kind}”; this app "
                    "runs PaliGemma 2, whose text model is “gemma2”. Try google/paligemma2-3b-mix-448.",
                    **named,
                )
            )
        raise ModelUnavailable(
            Sentence(
                "{name} is a PaliGemma checkpoint with the text model “{kind}”; this app runs PaliGemma 2, whose text "
                "model is “gemma2”. Try google/paligemma2-3b-mix-448.",
                **named,
            )
        )
    try:
        config: PaliGemmaConfig = PaliGemmaConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers checks the values by validators of many kinds
        raise ModelUnavailable(
            Sentence("The config.json of {name} has values that are not allowed.", name=checkpoint.name)
        ) from error
    return config


def check_folder(checkpoint: Checkpoint, folder: Path) -> None:
    """Says what a folder lacks to be a checkpoint."""
    if not folder.is_dir():
        raise ModelUnavailable(
            Sentence(
                "There is no {name} checkpoint: the folder {folder} is missing.",
                name=checkpoint.name,
                folder=str(folder),
            )
        )
    wanted: Sequence[tuple[str, Iterable[str]]] = (
        ("config.json", ("config.json",)),
        ("weights (*.safetensors)", ("*.safetensors",)),
        ("tokenizer.json", ("tokenizer.json", "tokenizer.model")),
        ("preprocessor_config.json", ("preprocessor_config.json", "processor_config.json")),
    )
    missing = [what for what, patterns in wanted if not any(any(folder.glob(pattern)) for pattern in patterns)]
    if missing:
        raise ModelUnavailable(
            Sentence(
                "{name} is not a complete PaliGemma checkpoint: it has no {files}.",
                name=str(checkpoint.folder or checkpoint.name),
                files=_and(missing),
            )
        )


def check_weights(checkpoint: Checkpoint, folder: Path) -> None:
    """Finds weight files that are missing, cut short or no safetensors, from their headers alone."""
    index = folder / "model.safetensors.index.json"
    if not (folder / "model.safetensors").exists():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelUnavailable(
                Sentence(
                    "{name} has neither model.safetensors nor a readable model.safetensors.index.json.",
                    name=checkpoint.name,
                )
            ) from error
        if missing := [name for name in names if not (folder / name).exists()]:
            raise ModelUnavailable(
                Sentence(
                    "{missing} of {count} weight files of {name} are missing: {files}.",
                    missing=len(missing),
                    count=len(names),
                    name=checkpoint.name,
                    files=_and(missing),
                )
            )
    else:
        names = ["model.safetensors"]
    for name in names:
        path = folder / name
        size = path.stat().st_size
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > min(size, 100_000_000):  # the format's own bound
                    raise ValueError(length)
                header = json.loads(file.read(length))
            whole = 8 + length + max(entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelUnavailable(_damaged(checkpoint, path, Sentence("it is not a safetensors file"))) from error
        if size != whole:
            raise ModelUnavailable(
                _damaged(
                    checkpoint,
                    path,
                    Sentence(
                        "it has {size} of {whole} ({size_in_bytes:,} of {whole_in_bytes:,} bytes)",
                        size=gigabytes(size),
                        whole=gigabytes(whole),
                        size_in_bytes=size,
                        whole_in_bytes=whole,
                    ),
                )
            )


def _damaged(checkpoint: Checkpoint, path: Path, why: Sentence) -> Sentence:
    if checkpoint.repository is None:
        return Sentence("The file {path} is damaged: {why}. Copy it again.", path=str(path), why=why)
    return Sentence(
        "The downloaded file {file} of {name} is damaged: {why}. Delete {path} and start again, and it is downloaded "
        "anew.",
        file=path.name,
        name=checkpoint.name,
        why=why,
        path=str(path.resolve()),
    )


def _and(words: Sequence[str]) -> str:
    shown = [*words[:3], f"{len(words) - 3} more"] if len(words) > 4 else list(words)
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
