"""Names, sizes and places of the checkpoints, and which of them can run here.

Knows where checkpoints lie, what they take and what devices there are. Loads nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import torch

from inference.errors import ModelUnavailable
from inference.hub import Hub, Repository, gigabytes
from inference.linear import QUANTIZED
from inference.machine import available_memory
from inference.sentences import Sentence

_REPOSITORY = Path(__file__).resolve().parents[1]
_OPUS: Mapping[str, str] = MappingProxyType(
    {"en-es": "Helsinki-NLP/opus-mt-en-es", "es-en": "Helsinki-NLP/opus-mt-es-en"}
)

MASK_FILE = "vae-oid.npz"
"""The arrays of the mask decoder."""

FILES = ("*.json", "*.safetensors", "tokenizer.model", MASK_FILE)
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


@dataclass(frozen=True, slots=True)
class _Size:
    """What is known of a checkpoint before a download: parameters, how many can be quantized, what those then take."""

    parameters: float
    quantized: float
    quantized_bytes: Mapping[str, float]

    def bytes(self, itemsize: int, quantize: str) -> float:
        if quantize == "none":
            return self.parameters * itemsize
        return (self.parameters - self.quantized) * itemsize + self.quantized_bytes[quantize]


_SIZES: Mapping[str, _Size] = MappingProxyType(
    {
        "10b": _Size(9.66e9, 9.25e9, {"int8": 9.25e9, "int4": 5.34e9}),
        "3b": _Size(3.03e9, 2.62e9, {"int8": 2.62e9, "int4": 1.67e9}),
    }
)
"""What `auto` chooses from, the best first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which checkpoint to load, and why: a sentence for the console and the page.

    Attributes:
        otherwise: What to load if it cannot be loaded, or None.
    """

    name: str
    reason: str
    otherwise: str | None = None


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
        if checkpoint.variant:
            raise ModelUnavailable(Sentence("“{name}” names two ways to keep the weights; it can be one.", name=name))
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


def kept_as(variant: str, *, dtype: str, quantize: str) -> tuple[str, str]:
    """How weights are to be kept, as `dtype` and `quantize`: what stands behind a name goes before the settings."""
    if variant in QUANTIZED:
        return dtype, variant
    return (variant, "none") if variant else (dtype, quantize)


def _path(name: str) -> Path | None:
    """The place of this name on the disk, or None if nothing is there, or the name cannot be a path."""
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, the home of nobody, a null character
        return None


def choose(
    name: str,
    *,
    device: torch.device,
    dtype: str = "auto",
    quantize: str = "none",
    hub: Hub | None = None,
    free: float | None = None,
) -> Choice:
    """Resolves "auto" to the best checkpoint that can run here; other names stay as they are.

    That is the largest mix-448 checkpoint that the GPU's free memory holds and that is downloaded already or may be
    downloaded by whoever is logged in, else the embedded one.

    Args:
        name: "auto", with a colon and one of `VARIANTS` behind it or not, or the name of a checkpoint.
        device: Where it is to run.
        dtype: See `pick_dtype`.
        quantize: "none", "int8" or "int4".
        hub: Where checkpoints come from.
        free: Bytes that the device has left; by default it is asked.
    """
    plain, _, variant = name.partition(":")
    if plain != "auto" or (variant and variant not in VARIANTS):
        return Choice(name, Sentence("{name} was asked for.", name=name))
    dtype, quantize = kept_as(variant, dtype=dtype, quantize=quantize)
    choice = _choose(device, dtype=dtype, quantize=quantize, hub=hub or Hub(), free=free)
    return replace(choice, name=f"{choice.name}:{variant}") if variant else choice


def _choose(device: torch.device, *, dtype: str, quantize: str, hub: Hub, free: float | None) -> Choice:
    if device.type != "cuda":
        return Choice(
            "demo",
            Sentence(
                "No GPU is used, so the small embedded model runs; the real models can be asked for with --model 3b."
            ),
        )
    size = pick_dtype(dtype, device).itemsize

    def needed(key: str) -> float:
        return memory_needed(_SIZES[key].bytes(size, quantize))

    free = free_memory(device) if free is None else free
    fitting = [key for key in _SIZES if needed(key) <= free]
    if not fitting:
        return Choice(
            "demo",
            Sentence(
                "The 3B model needs about {need} of GPU memory and {free} are free, so the small embedded model runs.",
                need=gigabytes(needed("3b")),
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
        return Choice(key, Sentence.of(why, *problems), otherwise="demo")
    return Choice("demo", Sentence.of(Sentence("The small embedded model runs."), problems[0]))


def _out_of_reach(checkpoint: Checkpoint, hub: Hub) -> str | None:
    """Why a checkpoint of the hub could not be loaded now, or None if it could."""
    repository = checkpoint.repository
    assert repository is not None
    if hub.cached(repository, patterns=FILES):
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


def memory_needed(weights: float) -> float:
    """Bytes of memory to load and run a model: its weights, and what activations, caches and copies take."""
    return weights * 1.05 + min(1e9, weights)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory()
