"""Names, sizes and files of the checkpoints; loading one, with progress and plain errors.

Knows where checkpoints lie, what they take and how to bring them to a device. Knows nothing of prompts, tokens, tasks
or pages, and runs no code that comes with a checkpoint.
"""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration, PaliGemmaProcessor
from transformers.utils import logging as transformers_logging

from inference import decoder
from inference.errors import ModelUnavailable, UserError
from inference.hub import Hub, Progress, Repository, gigabytes
from inference.linear import QUANTIZED
from inference.machine import available_memory, multiplies_bfloat16
from inference.masks import MaskDecoder
from inference.sentences import Sentence

logger = logging.getLogger(__name__)

_REPOSITORY = Path(__file__).resolve().parents[1]
_MASK_FILE = "vae-oid.npz"
_MASK_REPOSITORY = Repository("google/paligemma2-10b-mix", kind="space")
_MASK_SHA256 = "5586010257b8536dddefab65e7755077f21d5672d5674dacf911f73ae95a4447"
_OPUS: Mapping[str, str] = MappingProxyType(
    {"en-es": "Helsinki-NLP/opus-mt-en-es", "es-en": "Helsinki-NLP/opus-mt-es-en"}
)
_FILES = ("*.json", "*.safetensors", "tokenizer.model", _MASK_FILE)
"""What is downloaded of a repository: neither pickled weights, nor code, nor other formats of the same weights."""

_SMALL = 2e9
"""Bytes of float32 weights up to which the CPU keeps float32: exact, and fast enough."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that can be loaded.

    Attributes:
        name: What results and the page call it.
        folder: Where its files are, or None if it comes from the hub.
        repository: Where it is on the hub, or None if it is a folder.
        translators: "en-es" and "es-en" -> a folder or a hub id.
        embedded: Whether it is the small one that this repository carries.
        variant: How its weights are to be kept, one of `VARIANTS`, or empty for what the settings say.
    """

    name: str
    folder: Path | None = None
    repository: Repository | None = None
    translators: Mapping[str, str] = field(default_factory=lambda: _OPUS)
    embedded: bool = False
    variant: str = ""


CHECKPOINTS: Mapping[str, Checkpoint] = MappingProxyType(
    {
        "demo": Checkpoint(
            "demo",
            folder=_REPOSITORY / "assets" / "paligemma2-demo",
            translators=MappingProxyType(
                {
                    "en-es": str(_REPOSITORY / "assets" / "translation-en-es"),
                    "es-en": str(_REPOSITORY / "assets" / "translation-es-en"),
                }
            ),
            embedded=True,
        ),
        "3b": Checkpoint("paligemma2-3b-mix-448", repository=Repository("google/paligemma2-3b-mix-448")),
        "10b": Checkpoint("paligemma2-10b-mix-448", repository=Repository("google/paligemma2-10b-mix-448")),
    }
)
"""The checkpoints that have a short name."""

VARIANTS = ("bfloat16", "float16", "float32", *QUANTIZED)
"""What may stand behind the name of a checkpoint, after a colon, so that it can be had in two ways at once."""

_PARAMETERS: Mapping[str, float] = MappingProxyType({"10b": 9.66e9, "3b": 3.03e9})
"""What `auto` chooses from, the best first, and how many parameters each has (known before anything is downloaded)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which checkpoint to load, and why: a sentence for the console and the page."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on its device, with all that goes with it.

    Attributes:
        name: What results and the page call it.
        model: In evaluation mode.
        processor: Makes the model's inputs.
        mask_decoder: Turns mask codes into masks, or None if its file cannot be had.
        mask_problem: The sentence why there is no mask decoder, or None.
        translators: "en-es" and "es-en" -> a folder or a hub id.
        embedded: Whether it is the small checkpoint that the repository carries.
        device, dtype: Where and how it runs.
        parameters: How many it has.
        seconds: How long loading took.
    """

    name: str
    model: PaliGemmaForConditionalGeneration
    processor: PaliGemmaProcessor
    mask_decoder: MaskDecoder | None
    mask_problem: str | None
    translators: Mapping[str, str]
    embedded: bool
    device: torch.device
    dtype: torch.dtype
    parameters: int
    seconds: float


def find(name: str) -> Checkpoint:
    """The checkpoint of a name.

    Args:
        name: A key of `CHECKPOINTS`, a folder, or a hub id with or without "@revision"; each may end in a colon and
            one of `VARIANTS`, as in "demo:int8".

    Raises:
        ModelUnavailable: It is none of these.
    """
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    path = _path(name)
    plain, _, variant = name.rpartition(":")
    if path is None and variant in VARIANTS:
        checkpoint = find(plain)
        return replace(checkpoint, name=f"{checkpoint.name}:{variant}", variant=variant)
    if path is not None and path.is_dir():
        return Checkpoint(path.resolve().name, folder=path)
    if match := re.fullmatch(r"(\w[\w.-]*/[\w.-]+)(?:@([\w./-]+))?", name):
        for checkpoint in CHECKPOINTS.values():
            if checkpoint.repository is not None and str(checkpoint.repository) == name:
                return checkpoint
        return Checkpoint(name, repository=Repository(match[1], match[2]))
    if path is not None:
        raise ModelUnavailable(Sentence("{name} is a file; give the folder that holds the checkpoint.", name=name))
    if name.startswith(("/", ".", "~")):
        raise ModelUnavailable(Sentence("There is no folder {name}.", name=name))
    raise ModelUnavailable(
        Sentence(
            "There is no model “{name}”. It can be auto, {names}, the id of a PaliGemma 2 checkpoint on the hub (like "
            "google/paligemma2-3b-mix-448) or a folder.",
            name=name[:80],
            names=", ".join(CHECKPOINTS),
        )
    )


def _path(name: str) -> Path | None:
    """The place of this name on the disk, or None if nothing is there, or the name cannot be a path."""
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, the home of nobody, a null character
        return None


def choose(name: str, *, device: torch.device, hub: Hub | None = None) -> Choice:
    """Resolves "auto" to the best checkpoint that can run here; other names stay as they are.

    That is the largest mix-448 checkpoint that the GPU's free memory holds and that is downloaded already or may be
    downloaded by whoever is logged in, else the embedded one.

    Args:
        name: "auto", or the name of a checkpoint.
        device: Where it is to run.
        hub: Where checkpoints come from.
    """
    hub = hub or Hub()
    if name != "auto":
        return Choice(name, Sentence("{name} was asked for.", name=name))
    if device.type != "cuda":
        return Choice(
            "demo",
            Sentence(
                "No GPU is used, so the small embedded model runs; the real models can be asked for with --model 3b."
            ),
        )
    dtype = pick_dtype("auto", device)
    free = _free_memory(device)
    fitting = [key for key, count in _PARAMETERS.items() if _needed(count * dtype.itemsize) <= free]
    if not fitting:
        return Choice(
            "demo",
            Sentence(
                "The 3B model needs about {need} of GPU memory and {free} are free, so the small embedded model runs.",
                need=gigabytes(_needed(_PARAMETERS["3b"] * dtype.itemsize)),
                free=gigabytes(free),
            ),
        )
    return _best_in_reach(fitting, free=free, hub=hub)


def _best_in_reach(fitting: Sequence[str], *, free: float, hub: Hub) -> Choice:
    """The first checkpoint that can be had, else the embedded one."""
    # The licence is accepted for each repository by itself, so a smaller one may be in reach where the largest is not.
    problems: list[Sentence] = []
    for key in fitting:
        if problem := _out_of_reach(CHECKPOINTS[key], hub):
            name = key.upper()
            problems.append(Sentence("The {name} model would fit the GPU, but: {problem}", name=name, problem=problem))
            continue
        why = Sentence(
            "{name} is the largest that can be had and fits the {free} of free GPU memory.",
            name=CHECKPOINTS[key].name,
            free=gigabytes(free),
        )
        return Choice(key, Sentence.of(why, *problems))
    return Choice("demo", Sentence.of(Sentence("The small embedded model runs."), problems[0]))


def pick_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ModelUnavailable: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        why = Sentence("There is no CUDA GPU that torch can use, so --device {name} cannot be.", name=name)
        if not torch.version.cuda:
            why = Sentence.of(why, Sentence("This build of torch is for CPUs: install one for CUDA."))
        raise ModelUnavailable(why)
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ModelUnavailable(
            Sentence(
                "There is no GPU {index}: this machine has {count}, counted from 0.",
                index=index,
                count=torch.cuda.device_count(),
            )
        )
    return torch.device("cuda", index)


def pick_dtype(name: str, device: torch.device, *, parameters: float = 0) -> torch.dtype:
    """The dtype of a name.

    "auto" is bfloat16 on a GPU that has it, else float32; never float16, in which Gemma 2 overflows. On a CPU it is
    float32 for a small model, and for a large one bfloat16: half the memory, so half the time for a token, and what is
    a matter of computing runs in float32 where the CPU does not multiply bfloat16 (`inference.linear`).

    Args:
        name: "auto", "bfloat16", "float16" or "float32".
        device: Where the model is to run.
        parameters: How many it has.
    """
    if name != "auto":
        return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[name]
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    return torch.float32 if parameters * torch.float32.itemsize <= _SMALL else torch.bfloat16


def load(
    name: str,
    *,
    device: torch.device,
    dtype: str = "auto",
    quantize: str = "none",
    progress: Progress,
    hub: Hub | None = None,
) -> LoadedModel:
    """Loads a checkpoint straight to a device.

    What can be checked is checked first, the cheap things before the download: the kind of checkpoint, the disk, the
    memory, and that no file is cut short.

    Args:
        name: See `find`.
        device: Where the model is to run.
        dtype: See `pick_dtype`.
        quantize: "none", "int8" or "int4": how the linear layers of the text model are kept.
        progress: Is told how far loading is.
        hub: Where checkpoints come from.

    Raises:
        ModelUnavailable: It cannot be loaded; the message says why and what would help.
    """
    started = time.perf_counter()
    hub = hub or Hub()
    checkpoint = find(name)
    if checkpoint.variant in QUANTIZED:
        quantize = checkpoint.variant
    elif checkpoint.variant:
        dtype, quantize = checkpoint.variant, "none"
    progress(0.0, Sentence("Looking for {name}", name=checkpoint.name))
    if checkpoint.repository is not None:
        config = _read_config(checkpoint, hub.file(checkpoint.repository, "config.json").parent)
    else:
        assert checkpoint.folder is not None  # find gives one or the other
        _check_folder(checkpoint, checkpoint.folder)
        config = _read_config(checkpoint, checkpoint.folder)
    weights = _Weights.of(config)
    chosen = pick_dtype(dtype, device, parameters=weights.parameters)
    try:
        size = weights.bytes(chosen, quantize, device)
    except ValueError as error:
        raise ModelUnavailable(_not_quantized(checkpoint, quantize)) from error
    _check_memory(checkpoint, size, device)

    downloaded = 0.0

    def download_progress(fraction: float, what: str) -> None:
        # A download takes most of the time; without one, the weights have the whole bar.
        nonlocal downloaded
        downloaded = 0.85
        progress(downloaded * fraction, what)

    def weights_progress(fraction: float) -> None:
        what = Sentence("Loading the weights of {name}", name=checkpoint.name)
        progress(downloaded + (0.98 - downloaded) * fraction, what)

    if checkpoint.repository is not None:
        folder = hub.checkout(checkpoint.repository, patterns=_FILES, progress=download_progress)
        _check_folder(checkpoint, folder)
    else:
        assert checkpoint.folder is not None
        folder = checkpoint.folder
    _check_weights(checkpoint, folder)

    processor = _load_processor(checkpoint, folder, config)
    with quiet_loading(weights_progress):
        model = _load_model(checkpoint, folder, config, device=device, dtype=chosen, quantize=quantize)
    progress(0.98, Sentence("Loading the mask decoder"))
    mask_decoder, mask_problem = _load_mask_decoder(folder, hub)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    progress(1.0, Sentence("{name} is ready", name=checkpoint.name))
    return LoadedModel(
        name=checkpoint.name,
        model=model,
        processor=processor,
        mask_decoder=mask_decoder,
        mask_problem=mask_problem,
        translators=checkpoint.translators,
        embedded=checkpoint.embedded,
        device=device,
        dtype=chosen,
        parameters=weights.parameters,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True)
class _Weights:
    """How many parameters a model has, how many of them see, and the shapes of what can be quantized."""

    parameters: int
    vision: int
    linear: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, config: PaliGemmaConfig) -> "_Weights":
        with torch.device("meta"):
            model = PaliGemmaForConditionalGeneration(config)
        return cls(
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            vision=sum(parameter.numel() for part in _seeing(model) for parameter in part.parameters()),
            linear=tuple(decoder.linear_shapes(model)),
        )

    def bytes(self, dtype: torch.dtype, quantize: str, device: torch.device) -> float:
        """What they take; a ValueError if the shapes cannot be quantized so."""
        total = self.parameters * dtype.itemsize
        if _sees_in_float32(dtype, device):
            total += self.vision * (torch.float32.itemsize - dtype.itemsize)
        if quantize != "none":
            for outputs, inputs in self.linear:
                total += QUANTIZED[quantize].bytes(outputs, inputs) - outputs * inputs * dtype.itemsize
        return total


def _seeing(model: PaliGemmaForConditionalGeneration) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The parts that make features of a picture."""
    return model.model.vision_tower, model.model.multi_modal_projector


def _sees_in_float32(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether pictures are looked at in float32, whatever the rest is kept in: in a quarter of the time."""
    return device.type == "cpu" and dtype != torch.float32 and not multiplies_bfloat16()


def _read_config(checkpoint: Checkpoint, folder: Path) -> PaliGemmaConfig:
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


def _check_folder(checkpoint: Checkpoint, folder: Path) -> None:
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
        ("a tokenizer (tokenizer.json)", ("tokenizer.json", "tokenizer.model")),
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


def _check_weights(checkpoint: Checkpoint, folder: Path) -> None:
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


def _load_processor(checkpoint: Checkpoint, folder: Path, config: PaliGemmaConfig) -> PaliGemmaProcessor:
    try:
        processor: PaliGemmaProcessor = PaliGemmaProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # broken tokenizer files raise anything, even plain Exception
        logger.warning("The processor of %s cannot be loaded", checkpoint.name, exc_info=error)
        raise ModelUnavailable(
            Sentence(
                "The tokenizer or image processor of {name} cannot be loaded: its files are damaged or of another "
                "kind.",
                name=checkpoint.name,
            )
        ) from error
    rows = config.text_config.vocab_size
    patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
    if len(processor.tokenizer) > rows:
        problem = Sentence(
            "the tokenizer has {tokens:,} tokens and the model {rows:,}", tokens=len(processor.tokenizer), rows=rows
        )
    elif processor.image_token_id != config.image_token_id:
        problem = Sentence(
            "the image token is {tokenizer} to the tokenizer and {model} to the model",
            tokenizer=processor.image_token_id,
            model=config.image_token_id,
        )
    elif processor.image_seq_length != patches:
        problem = Sentence(
            "the processor makes {processor:,} image tokens and the model {model:,}",
            processor=processor.image_seq_length,
            model=patches,
        )
    else:
        return processor
    raise ModelUnavailable(
        Sentence("The files of {name} do not belong together: {problem}.", name=checkpoint.name, problem=problem)
    )


def _load_model(
    checkpoint: Checkpoint,
    folder: Path,
    config: PaliGemmaConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    quantize: str,
) -> PaliGemmaForConditionalGeneration:
    """The model with every weight from the files; a missing one would silently be random."""
    try:
        model, info = PaliGemmaForConditionalGeneration.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            # Weights that will be quantized go to the device one by one, after that: it need never hold them all.
            device_map={"": device if quantize == "none" else torch.device("cpu")},
            # Gemma 2 caps its attention logits, which sdpa cannot; the vision tower has no such cap.
            attn_implementation={"text_config": "eager", "vision_config": "sdpa"},
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ModelUnavailable(
            Sentence(
                "The memory of {device} ran out while {name} was loading. Close what else uses it, or choose a smaller "
                "model.",
                device=str(device),
                name=checkpoint.name,
            )
        ) from error
    except (SafetensorError, OSError, EOFError) as error:
        raise ModelUnavailable(
            Sentence("The weights of {name} cannot be read: {why}.", name=checkpoint.name, why=_first_line(error))
        ) from error
    except (RuntimeError, ValueError, ImportError) as error:
        logger.warning("%s cannot be loaded", checkpoint.name, exc_info=error)
        raise ModelUnavailable(
            Sentence(
                "The weights of {name} do not fit its config.json ({why}).",
                name=checkpoint.name,
                why=_first_line(error),
            )
        ) from error
    if lacking := sorted(info["missing_keys"]):
        raise ModelUnavailable(
            Sentence(
                "{name} lacks {count} of the weights that its config.json asks for, the first is {first}.",
                name=checkpoint.name,
                count=len(lacking),
                first=lacking[0],
            )
        )
    model.requires_grad_(False)
    if quantize != "none":
        decoder.quantize(model, quantize, device)
        model.to(device)
    if _sees_in_float32(dtype, device):
        for part in _seeing(model):
            part.float()
    loaded: PaliGemmaForConditionalGeneration = model.eval()
    return loaded


def _not_quantized(checkpoint: Checkpoint, quantize: str) -> Sentence:
    return Sentence(
        "{name} has layers whose sizes do not allow --quantize {kind}; try --quantize int8 or none.",
        name=checkpoint.name,
        kind=quantize,
    )


def _load_mask_decoder(folder: Path, hub: Hub) -> tuple[MaskDecoder | None, Sentence | None]:
    """The mask decoder, or the sentence why there is none; its file lies in the checkpoint or comes from the hub."""
    path = folder / _MASK_FILE
    try:
        if not path.exists():
            path = hub.file(_MASK_REPOSITORY, _MASK_FILE, sha256=_MASK_SHA256)
        return MaskDecoder.from_file(path), None
    except UserError as error:
        return None, Sentence("Masks cannot be drawn, only boxes: {why}", why=error.sentence)
    except Exception as error:  # a damaged file must not keep the model from answering
        logger.warning("%s cannot be loaded", path, exc_info=error)
        return None, Sentence("Masks cannot be drawn, only boxes: the file {path} is damaged.", path=str(path))


def _out_of_reach(checkpoint: Checkpoint, hub: Hub) -> str | None:
    """Why a checkpoint of the hub could not be loaded now, or None if it could."""
    repository = checkpoint.repository
    assert repository is not None
    if hub.cached(repository, patterns=_FILES):
        return None
    if not hub.has_token:
        return Sentence(
            "{repository} needs a login. Set HF_TOKEN to an access token and accept the licence at {page}.",
            repository=repository.id,
            page=hub.page(repository),
        )
    try:
        hub.check_access(repository)
    except ModelUnavailable as error:
        return error.sentence
    return None


def _needed(weights: float) -> float:
    """Bytes of memory to load and run a model: its weights, and what activations, caches and copies take."""
    return weights * 1.05 + min(1e9, weights)


def _check_memory(checkpoint: Checkpoint, weights: float, device: torch.device) -> None:
    needed = _needed(weights)
    free = _free_memory(device)
    if needed > free:
        where = Sentence("GPU memory") if device.type == "cuda" else Sentence("memory")
        raise ModelUnavailable(
            Sentence(
                "{name} needs about {need} of {where}, and {free} are free on {device}. Close what else uses it, "
                "choose a smaller model, or try --dtype bfloat16 or --quantize int8.",
                name=checkpoint.name,
                need=gigabytes(needed),
                where=where,
                free=gigabytes(free),
                device=str(device),
            )
        )


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory()


_reporter = threading.local()


@contextmanager
def quiet_loading(report: Callable[[float], None] | None = None) -> Iterator[None]:
    """Keeps the progress bars of transformers from the console and reports instead how much is loaded.

    transformers has one hook for the whole process. The one set here looks at the calling thread, so that models may be
    loaded at the same time, and the bars of others stay.

    Args:
        report: Is told how far it is, from 0 to 1.
    """
    transformers_logging.set_tqdm_hook(_tqdm_hook)
    _reporter.report = report or (lambda _: None)
    try:
        yield
    finally:
        _reporter.report = None


def _tqdm_hook(factory: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    report: Callable[[float], None] | None = getattr(_reporter, "report", None)
    if report is None:
        return factory(*arguments, **options)
    return _Steps(arguments[0] if arguments else (), report)


class _Steps:
    """Stands in for a progress bar over something that has a length; tells about every tenth."""

    def __init__(self, steps: Any, report: Callable[[float], None]) -> None:
        self._steps = steps
        self._report = report

    def __iter__(self) -> Iterator[Any]:
        total = len(self._steps) if hasattr(self._steps, "__len__") else 0
        for index, step in enumerate(self._steps):
            if total and index % max(1, total // 10) == 0:
                self._report(index / total)
            yield step

    def __enter__(self) -> "_Steps":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, _: str) -> Any:
        return lambda *_arguments, **_options: None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(" .:") if lines else type(error).__name__


def _and(words: Sequence[str]) -> str:
    shown = [*words[:3], f"{len(words) - 3} more"] if len(words) > 4 else list(words)
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
