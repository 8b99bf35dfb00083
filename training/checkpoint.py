"""The published folder: model, tokenizer, processor and mask codec, as `from_pretrained` takes them.

Knows files and formats. Knows nothing of training.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import GenerationConfig, PaliGemmaForConditionalGeneration

from training import model as small
from training import tokenizer as tokens
from training.saving import TrainingError

CODEC_FILE = "vae-oid.npz"
CARD_FILE = "README.md"


def fresh(seed: int) -> tuple[PaliGemmaForConditionalGeneration, tokens.Inventory]:
    """An untrained model and its tokens."""
    found = tokens.inventory(tokens.build())
    config = small.configuration(
        vocabulary=found.size, image_token=found.image, pad_token=found.pad, bos_token=found.bos, eos_token=found.eos
    )
    return small.fresh(config, seed), found


def publish(
    model: PaliGemmaForConditionalGeneration, found: tokens.Inventory, table: torch.Tensor, codec: Path, out: Path
) -> None:
    """Writes the checkpoint folder; what was in `out` stays until the new one is complete, and its card for good.

    Args:
        model: float32 weights; its embedding table is replaced by `table` in what is written.
        found: The tokens.
        table: (vocabulary, width) embeddings.
        codec: The mask codec's file.
        out: The checkpoint's folder.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    copied = PaliGemmaForConditionalGeneration(model.config)
    copied.load_state_dict(model.state_dict())
    with torch.no_grad():
        copied.model.language_model.embed_tokens.weight.copy_(table)
    copied = copied.to(torch.bfloat16)
    copied.generation_config = GenerationConfig(
        eos_token_id=found.eos, bos_token_id=found.bos, pad_token_id=found.pad, max_new_tokens=256, do_sample=False
    )
    copied.save_pretrained(partial)
    tokens.processor(found.tokenizer, side=small.SIDE, image_tokens=small.IMAGE_TOKENS).save_pretrained(partial)
    shutil.copyfile(codec, partial / CODEC_FILE)
    if (out / CARD_FILE).exists():
        shutil.copyfile(out / CARD_FILE, partial / CARD_FILE)
    for file in partial.iterdir():
        file.chmod(0o644)
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    partial.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def adopt(folder: Path, model: PaliGemmaForConditionalGeneration, found: tokens.Inventory) -> torch.Tensor:
    """Loads a published folder's weights into a model of the same shape and returns its embedding table.

    Raises:
        TrainingError: The folder is no checkpoint, or one of another shape or vocabulary.
    """
    config, weights = folder / "config.json", folder / "model.safetensors"
    if not (config.is_file() and weights.is_file()):
        raise TrainingError(
            f"{folder} is not a checkpoint folder (config.json and model.safetensors are missing): name a folder that "
            "`python -m training.train` has written."
        )
    shape = TrainingError(
        f"The checkpoint in {folder} has another shape or vocabulary than this trainer's model: name another folder."
    )
    try:
        kept = json.loads(config.read_text(encoding="utf-8"))
        if kept.get("model_type") != "paligemma" or kept.get("image_token_index") != found.image:
            raise shape
        # Opened whole first: transformers would report a short file in words for programmers.
        load_file(weights)
        loaded = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint in {folder} cannot be read (it is cut short, or no PaliGemma): restore it or train afresh."
        ) from error
    state, own = loaded.state_dict(), model.state_dict()
    if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
        raise shape
    model.load_state_dict(state)
    return loaded.model.language_model.embed_tokens.weight.detach().clone()
