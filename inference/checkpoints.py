"""Names, sizes and files of the checkpoints; loading one, with progress and plain errors.

Knows where checkpoints lie, what they take and how to bring them to a device. Knows nothing of prompts, tokens, tasks
or pages, and runs no code that comes with a checkpoint.
"""

import importlib.util
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no types of its own
import torch
from safetensors import SafetensorError
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration, PaliGemmaProcessor
from transformers.utils import logging as transformers_logging

from inference.errors import ModelUnavailable, UserError
from inference.hub import Hub, Progress, Repository, gigabytes
from inference.masks import MaskDecoder

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
    """

    name: str
    folder: Path | None = None
    repository: Repository | None = None
    translators: Mapping[str, str] = field(default_factory=lambda: _OPUS)
    embedded: bool = False


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
        name: A key of `CHECKPOINTS`, a folder, or a hub id with or without "@revision".

    Raises:
        ModelUnavailable: It is none of these.
    """
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    path = _path(name)
    if path is not None and path.is_dir():
        return Checkpoint(path.resolve().name, folder=path)
    if match := re.fullmatch(r"(\w[\w.-]*/[\w.-]+)(?:@([\w./-]+))?", name):
        for checkpoint in CHECKPOINTS.values():
            if checkpoint.repository is not None and str(checkpoint.repository) == name:
                return checkpoint
        return Checkpoint(name, repository=Repository(match[1], match[2]))
    if path is not None:
        raise ModelUnavailable(f"{name} is a file; give the folder that holds the checkpoint.")
    if name.startswith(("/", ".", "~")):
        raise ModelUnavailable(f"There is no folder {name}.")
    raise ModelUnavailable(
        f"There is no model “{name[:80]}”. It can be auto, {', '.join(CHECKPOINTS)}, the id of a PaliGemma 2 "
        "checkpoint on the hub (like google/paligemma2-3b-mix-448) or a folder."
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
        return Choice(name, f"{name} was asked for.")
    embedded = "so the small embedded model runs"
    if device.type != "cuda":
        return Choice("demo", f"No GPU is used, {embedded}; the real models can be asked for with --model 3b.")
    dtype = pick_dtype("auto", device)
    free = _free_memory(device)
    fitting = [key for key, count in _PARAMETERS.items() if _needed(count * dtype.itemsize) <= free]
    if not fitting:
        need = gigabytes(_needed(_PARAMETERS["3b"] * dtype.itemsize))
        return Choice(
            "demo", f"The 3B model needs about {need} of GPU memory and {gigabytes(free)} are free, {embedded}."
        )
    # The licence is accepted for each repository by itself, so a smaller one may be in reach where the largest is not.
    problems = []
    for key in fitting:
        if problem := _out_of_reach(CHECKPOINTS[key], hub):
            problems.append(f"The {key.upper()} model would fit the GPU, but: {problem}")
            continue
        why = (
            f"{CHECKPOINTS[key].name} is the largest that can be had and fits the {gigabytes(free)} of free GPU memory."
        )
        return Choice(key, " ".join((why, *problems)))
    return Choice("demo", f"The small embedded model runs. {problems[0]}")


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
        built = "" if torch.version.cuda else " This build of torch is for CPUs: install one for CUDA."
        raise ModelUnavailable(f"There is no CUDA GPU that torch can use, so --device {name} cannot be.{built}")
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ModelUnavailable(
            f"There is no GPU {index}: this machine has {torch.cuda.device_count()}, counted from 0."
        )
    return torch.device("cuda", index)


def pick_dtype(name: str, device: torch.device, *, parameters: float = 0) -> torch.dtype:
    """The dtype of a name.

    "auto" is bfloat16 on a GPU that has it, else float32; never float16, in which Gemma 2 overflows. On a CPU it is
    float32 for a small model, and for a large one bfloat16 where the CPU multiplies it natively (AVX512-BF16, AMX:
    twice as fast, half the memory) or where float32 would fill more than 60 % of the free memory.

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
    needed = parameters * torch.float32.itemsize
    if needed <= _SMALL:
        return torch.float32
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or needed > 0.6 * _free_memory(device):
        return torch.bfloat16
    return torch.float32


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
    progress(0.0, f"Looking for {checkpoint.name}")
    if checkpoint.repository is not None:
        config = _read_config(checkpoint, hub.file(checkpoint.repository, "config.json").parent)
    else:
        assert checkpoint.folder is not None  # find gives one or the other
        _check_folder(checkpoint, checkpoint.folder)
        config = _read_config(checkpoint, checkpoint.folder)
    weights = _Weights.of(config)
    chosen = pick_dtype(dtype, device, parameters=weights.parameters)
    quantization = _quantization(quantize)
    _check_memory(checkpoint, weights.bytes(chosen, quantize), device)

    downloaded = 0.0

    def download_progress(fraction: float, what: str) -> None:
        # A download takes most of the time; without one, the weights have the whole bar.
        nonlocal downloaded
        downloaded = 0.85
        progress(downloaded * fraction, what)

    def weights_progress(fraction: float) -> None:
        progress(downloaded + (0.98 - downloaded) * fraction, f"Loading the weights of {checkpoint.name}")

    if checkpoint.repository is not None:
        folder = hub.checkout(checkpoint.repository, patterns=_FILES, progress=download_progress)
        _check_folder(checkpoint, folder)
    else:
        assert checkpoint.folder is not None
        folder = checkpoint.folder
    _check_weights(checkpoint, folder)

    processor = _load_processor(checkpoint, folder, config)
    with quiet_loading(weights_progress):
        model = _load_model(checkpoint, folder, config, device=device, dtype=chosen, quantization=quantization)
    progress(0.98, "Loading the mask decoder")
    mask_decoder, mask_problem = _load_mask_decoder(folder, hub)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    progress(1.0, f"{checkpoint.name} is ready")
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
    """How many parameters a model has, and how many of them are in linear layers of its text model."""

    parameters: int
    linear: int

    @classmethod
    def of(cls, config: PaliGemmaConfig) -> "_Weights":
        with torch.device("meta"):
            model = PaliGemmaForConditionalGeneration(config)
        linear = sum(
            module.weight.numel()
            for module in model.model.language_model.modules()
            if isinstance(module, torch.nn.Linear)
        )
        return cls(parameters=sum(parameter.numel() for parameter in model.parameters()), linear=linear)

    def bytes(self, dtype: torch.dtype, quantize: str) -> float:
        # int4 has a scale and a zero point for every group of 128: 4.25 bits.
        each = {"none": dtype.itemsize, "int8": 1.0, "int4": 0.54}[quantize]
        return (self.parameters - self.linear) * dtype.itemsize + self.linear * each


def _read_config(checkpoint: Checkpoint, folder: Path) -> PaliGemmaConfig:
    """The configuration of a PaliGemma 2 checkpoint; of anything else a plain error."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = values["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"The config.json of {checkpoint.name} cannot be read as that of a model.") from error
    if kind != "paligemma":
        raise ModelUnavailable(
            f"{checkpoint.name} is a model of the kind “{kind}”; this app runs PaliGemma 2 (“paligemma”) checkpoints."
        )
    text = values.get("text_config")
    text_kind = text.get("model_type", "gemma") if isinstance(text, dict) else "gemma"
    if text_kind != "gemma2":
        first = " of the first generation" if text_kind == "gemma" else ""
        raise ModelUnavailable(
            f"{checkpoint.name} is a PaliGemma checkpoint{first} with the text model “{text_kind}”; this app runs "
            "PaliGemma 2, whose text model is “gemma2”. Try google/paligemma2-3b-mix-448."
        )
    try:
        config: PaliGemmaConfig = PaliGemmaConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers checks the values by validators of many kinds
        raise ModelUnavailable(f"The config.json of {checkpoint.name} has values that are not allowed.") from error
    return config


def _check_folder(checkpoint: Checkpoint, folder: Path) -> None:
    """Says what a folder lacks to be a checkpoint."""
    if not folder.is_dir():
        raise ModelUnavailable(f"There is no {checkpoint.name} checkpoint: the folder {folder} is missing.")
    wanted: Sequence[tuple[str, Iterable[str]]] = (
        ("config.json", ("config.json",)),
        ("weights (*.safetensors)", ("*.safetensors",)),
        ("a tokenizer (tokenizer.json)", ("tokenizer.json", "tokenizer.model")),
        ("preprocessor_config.json", ("preprocessor_config.json", "processor_config.json")),
    )
    missing = [what for what, patterns in wanted if not any(any(folder.glob(pattern)) for pattern in patterns)]
    if missing:
        raise ModelUnavailable(
            f"{checkpoint.folder or checkpoint.name} is not a complete PaliGemma checkpoint: it has no {_and(missing)}."
        )


def _check_weights(checkpoint: Checkpoint, folder: Path) -> None:
    """Finds weight files that are missing, cut short or no safetensors, from their headers alone."""
    index = folder / "model.safetensors.index.json"
    if not (folder / "model.safetensors").exists():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelUnavailable(
                f"{checkpoint.name} has neither model.safetensors nor a readable model.safetensors.index.json."
            ) from error
        if missing := [name for name in names if not (folder / name).exists()]:
            raise ModelUnavailable(
                f"{len(missing)} of {len(names)} weight files of {checkpoint.name} are missing: {_and(missing)}."
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
            raise ModelUnavailable(_damaged(checkpoint, path, "it is not a safetensors file")) from error
        if size != whole:
            raise ModelUnavailable(
                _damaged(
                    checkpoint, path, f"it has {gigabytes(size)} of {gigabytes(whole)} ({size:,} of {whole:,} bytes)"
                )
            )


def _damaged(checkpoint: Checkpoint, path: Path, why: str) -> str:
    if checkpoint.repository is None:
        return f"The file {path} is damaged: {why}. Copy it again."
    return (
        f"The downloaded file {path.name} of {checkpoint.name} is damaged: {why}. Delete {path.resolve()} and start "
        "again, and it is downloaded anew."
    )


def _load_processor(checkpoint: Checkpoint, folder: Path, config: PaliGemmaConfig) -> PaliGemmaProcessor:
    try:
        processor: PaliGemmaProcessor = PaliGemmaProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # broken tokenizer files raise anything, even plain Exception
        logger.warning("The processor of %s cannot be loaded", checkpoint.name, exc_info=error)
        raise ModelUnavailable(
            f"The tokenizer or image processor of {checkpoint.name} cannot be loaded: its files are damaged or of "
            "another kind."
        ) from error
    rows = config.text_config.vocab_size
    patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
    if len(processor.tokenizer) > rows:
        problem = f"the tokenizer has {len(processor.tokenizer):,} tokens and the model {rows:,}"
    elif processor.image_token_id != config.image_token_id:
        problem = (
            f"the image token is {processor.image_token_id} to the tokenizer and {config.image_token_id} to the model"
        )
    elif processor.image_seq_length != patches:
        problem = f"the processor makes {processor.image_seq_length:,} image tokens and the model {patches:,}"
    else:
        return processor
    raise ModelUnavailable(f"The files of {checkpoint.name} do not belong together: {problem}.")


def _load_model(
    checkpoint: Checkpoint,
    folder: Path,
    config: PaliGemmaConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    quantization: Any | None,
) -> PaliGemmaForConditionalGeneration:
    """The model with every weight from the files; a missing one would silently be random."""
    try:
        model, info = PaliGemmaForConditionalGeneration.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            device_map={"": device},
            # Gemma 2 caps its attention logits, which sdpa cannot; the vision tower has no such cap.
            attn_implementation={"text_config": "eager", "vision_config": "sdpa"},
            quantization_config=quantization,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ModelUnavailable(
            f"The memory of {device} ran out while {checkpoint.name} was loading. Close what else uses it, or choose a "
            "smaller model."
        ) from error
    except (SafetensorError, OSError, EOFError) as error:
        raise ModelUnavailable(f"The weights of {checkpoint.name} cannot be read: {_first_line(error)}.") from error
    except (RuntimeError, ValueError, ImportError) as error:
        logger.warning("%s cannot be loaded", checkpoint.name, exc_info=error)
        if quantization is not None:
            raise ModelUnavailable(
                f"{checkpoint.name} could not be quantized in this way on {device}; try --quantize int8 or none."
            ) from error
        raise ModelUnavailable(
            f"The weights of {checkpoint.name} do not fit its config.json ({_first_line(error)})."
        ) from error
    if lacking := sorted(info["missing_keys"]):
        raise ModelUnavailable(
            f"{checkpoint.name} lacks {len(lacking)} of the weights that its config.json asks for, the first is "
            f"{lacking[0]}."
        )
    model.requires_grad_(False)
    loaded: PaliGemmaForConditionalGeneration = model.eval()
    return loaded


def _load_mask_decoder(folder: Path, hub: Hub) -> tuple[MaskDecoder | None, str | None]:
    """The mask decoder, or the sentence why there is none; its file lies in the checkpoint or comes from the hub."""
    path = folder / _MASK_FILE
    try:
        if not path.exists():
            path = hub.file(_MASK_REPOSITORY, _MASK_FILE, sha256=_MASK_SHA256)
        return MaskDecoder.from_file(path), None
    except UserError as error:
        return None, f"Masks cannot be drawn, only boxes: {error}"
    except Exception as error:  # a damaged file must not keep the model from answering
        logger.warning("%s cannot be loaded", path, exc_info=error)
        return None, f"Masks cannot be drawn, only boxes: the file {path} is damaged."


def _quantization(quantize: str) -> Any | None:
    """The configuration that quantizes while loading, or None for "none"."""
    if quantize == "none":
        return None
    if importlib.util.find_spec("torchao") is None:
        raise ModelUnavailable(f"--quantize {quantize} needs torchao: pip install torchao.")
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig  # not a requirement
    from transformers import TorchAoConfig

    kind = Int8WeightOnlyConfig() if quantize == "int8" else Int4WeightOnlyConfig(group_size=128)
    # SigLIP's 4304 divides by neither 64 nor 128, and both parts are small.
    return TorchAoConfig(kind, modules_to_not_convert=["model.vision_tower", "model.multi_modal_projector", "lm_head"])


def _out_of_reach(checkpoint: Checkpoint, hub: Hub) -> str | None:
    """Why a checkpoint of the hub could not be loaded now, or None if it could."""
    repository = checkpoint.repository
    assert repository is not None
    if hub.cached(repository, patterns=_FILES):
        return None
    if not hub.has_token:
        return (
            f"{repository.id} needs a login. Set HF_TOKEN to an access token and accept the licence at "
            f"{hub.page(repository)}."
        )
    try:
        hub.check_access(repository)
    except ModelUnavailable as error:
        return str(error)
    return None


def _needed(weights: float) -> float:
    """Bytes of memory to load and run a model: its weights, and what activations, caches and copies take."""
    return weights * 1.05 + min(1e9, weights)


def _check_memory(checkpoint: Checkpoint, weights: float, device: torch.device) -> None:
    needed = _needed(weights)
    free = _free_memory(device)
    if needed > free:
        where = "GPU memory" if device.type == "cuda" else "memory"
        raise ModelUnavailable(
            f"{checkpoint.name} needs about {gigabytes(needed)} of {where}, and {gigabytes(free)} are free on {device}."
            " Close what else uses it, choose a smaller model, or try --dtype bfloat16 or --quantize int8."
        )


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory()


def available_memory(*, proc: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process can still take: of the machine, and of every control group around it.

    A container sees the whole machine's memory in /proc/meminfo; its limit is that of its control group, of version 1
    or 2. Cached files count as used there, but give way.

    Args:
        proc: The file that names the groups of this process.
        cgroups: Where the groups' files are.
    """
    available = int(psutil.virtual_memory().available)
    for folder, limit_file, usage_file, cache in _groups(proc, cgroups):
        try:
            limit = int((folder / limit_file).read_text())
            used = int((folder / usage_file).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            available = min(available, limit - used + int(statistics.get(cache, 0)))
        except (OSError, ValueError):  # no such group in this name space, or "max": no limit
            continue
    return max(available, 0)


def _groups(proc: Path, cgroups: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Folders of memory control groups, innermost first, with the names of their files and statistic."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, files = cgroups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = cgroups / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.lstrip("/")
        while True:
            yield group, *files
            if group == root or root not in group.parents:
                break
            group = group.parent


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
