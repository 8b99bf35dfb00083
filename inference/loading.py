"""Bringing a checkpoint to its device, once, with progress and plain errors.

Knows files, memory and devices. Knows nothing of prompts, tokens, tasks or pages, and runs no code that comes with a
checkpoint.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference import decoder
from inference.checkpoints import FILES, MASK_FILE, Checkpoint, find, free_memory, kept_as, memory_needed, pick_dtype
from inference.errors import ModelUnavailable, UserError, first_line
from inference.folders import check_folder, check_weights, read_config
from inference.hub import Hub, ProgressCallback, Repository, gigabytes
from inference.machine import multiplies_bfloat16
from inference.masks import MaskDecoder
from inference.quiet import quiet_loading
from inference.sentences import Sentence

logger = logging.getLogger(__name__)

_MASK_REPOSITORY = Repository("google/paligemma2-10b-mix", kind="space")
_MASK_SHA256 = "5586010257b8536dddefab65e7755077f21d5672d5674dacf911f73ae95a4447"


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


def load(
    name: str,
    *,
    device: torch.device,
    dtype: str = "auto",
    quantize: str = "none",
    progress: ProgressCallback,
    hub: Hub | None = None,
) -> LoadedModel:
    """Loads a checkpoint straight to a device.

    What can be checked is checked first, the cheap things before the download: the kind of checkpoint, the disk, the
    memory, and that no file is cut short.

    Args:
        name: See `find`.
        device: Where the model is to run.
        dtype: See `pick_dtype`.
        quantize: "none", "int8" or "int4": how the text model is kept, see `decoder.quantize`.
        progress: Is told how far loading is.
        hub: Where checkpoints come from.

    Raises:
        ModelUnavailable: It cannot be loaded; the message says why and what would help.
    """
    started = time.perf_counter()
    hub = hub or Hub()
    checkpoint = find(name)
    dtype, quantize = kept_as(checkpoint.variant, dtype=dtype, quantize=quantize)
    progress(0.0, Sentence("Looking for {name}", name=checkpoint.name))
    if checkpoint.repository is not None:
        config = read_config(checkpoint, hub.file(checkpoint.repository, "config.json").parent)
    else:
        assert checkpoint.folder is not None  # find gives one or the other
        check_folder(checkpoint, checkpoint.folder)
        config = read_config(checkpoint, checkpoint.folder)
    try:
        weights = _Weights.of(config, quantize)
    except ValueError as error:
        raise ModelUnavailable(_not_quantized(checkpoint, quantize)) from error
    chosen = pick_dtype(dtype, device, parameters=weights.parameters)
    _check_memory(checkpoint, weights.bytes(chosen, device), device)

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
        folder = hub.checkout(checkpoint.repository, patterns=FILES, progress=download_progress)
        check_folder(checkpoint, folder)
    else:
        assert checkpoint.folder is not None
        folder = checkpoint.folder
    check_weights(checkpoint, folder)

    processor = _load_processor(checkpoint, folder, config)
    with quiet_loading(weights_progress):
        model = _load_model(checkpoint, folder, config, device=device, dtype=chosen, quantize=quantize)
    progress(0.98, Sentence("Loading the mask decoder"))
    mask_decoder, mask_problem = _load_mask_decoder(folder, hub)
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
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
    """How many parameters a model has, how many of them see, how many are quantized, and what those then take."""

    parameters: int
    vision: int
    quantized: int
    quantized_bytes: int

    @classmethod
    def of(cls, config: PaliGemmaConfig, quantize: str) -> "_Weights":
        """A ValueError if the shapes cannot be quantized so."""
        with torch.device("meta"):
            model = PaliGemmaForConditionalGeneration(config)
        quantized, quantized_bytes = decoder.quantized_size(model, quantize) if quantize != "none" else (0, 0)
        return cls(
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            vision=sum(parameter.numel() for part in _seeing(model) for parameter in part.parameters()),
            quantized=quantized,
            quantized_bytes=quantized_bytes,
        )

    def bytes(self, dtype: torch.dtype, device: torch.device) -> int:
        """What they take on this device in this dtype."""
        seeing = torch.float32 if _sees_in_float32(dtype, device) else dtype
        rest = self.parameters - self.vision - self.quantized
        return rest * dtype.itemsize + self.vision * seeing.itemsize + self.quantized_bytes


def _seeing(model: PaliGemmaForConditionalGeneration) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The parts that make features of a picture."""
    return model.model.vision_tower, model.model.multi_modal_projector


def _sees_in_float32(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether pictures are looked at in float32, whatever the rest is kept in: in a quarter of the time."""
    return device.type == "cpu" and dtype != torch.float32 and not multiplies_bfloat16()


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
            # As they are in the files, which then are only mapped, if what is quantized would else be copied before.
            dtype=dtype if quantize == "none" else "auto",
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
            Sentence("The weights of {name} cannot be read: {why}.", name=checkpoint.name, why=first_line(error))
        ) from error
    except (RuntimeError, ValueError, ImportError) as error:
        logger.warning("%s cannot be loaded", checkpoint.name, exc_info=error)
        raise ModelUnavailable(
            Sentence(
                "The weights of {name} do not fit its config.json ({why}).",
                name=checkpoint.name,
                why=first_line(error),
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
        for parameter in model.parameters():  # what was not quantized
            parameter.data = parameter.data.to(device, dtype)
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
    path = folder / MASK_FILE
    try:
        if not path.exists():
            path = hub.file(_MASK_REPOSITORY, MASK_FILE, sha256=_MASK_SHA256)
        return MaskDecoder.from_file(path), None
    except UserError as error:
        return None, Sentence("Masks cannot be drawn, only boxes: {why}", why=error.sentence)
    except Exception as error:  # a damaged file must not keep the model from answering
        logger.warning("%s cannot be loaded", path, exc_info=error)
        return None, Sentence("Masks cannot be drawn, only boxes: the file {path} is damaged.", path=str(path))


def _check_memory(checkpoint: Checkpoint, weights: float, device: torch.device) -> None:
    needed = memory_needed(weights)
    free = free_memory(device)
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
