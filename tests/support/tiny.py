"""A tiny PaliGemma 2 with random weights: the true classes, made in memory in a second; and a translator for it."""

from collections.abc import Sequence as Texts
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteFallback, Fuse, Replace, Sequence
from tokenizers.models import BPE
from tokenizers.normalizers import Replace as ReplaceNormalizer
from transformers import (
    GemmaTokenizerFast,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    SiglipImageProcessorPil,
)

from inference.loading import LoadedModel

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")


def tiny_processor(*, image_size: int = 28, patch_size: int = 14) -> PaliGemmaProcessor:
    """A processor whose tokenizer knows every byte, every printable ASCII character and PaliGemma's own tokens."""
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "\n", *map(chr, range(33, 127))]
    tokenizer = Tokenizer(
        BPE(
            {piece: index for index, piece in enumerate(pieces)},
            [],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer = ReplaceNormalizer(" ", "▁")
    tokenizer.decoder = Sequence([Replace("▁", " "), ByteFallback(), Fuse()])
    fast = GemmaTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )
    image_processor = SiglipImageProcessorPil(
        size={"height": image_size, "width": image_size}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    image_processor.image_seq_length = (image_size // patch_size) ** 2
    return PaliGemmaProcessor(image_processor=image_processor, tokenizer=fast)


def tiny_model(
    processor: PaliGemmaProcessor, *, seed: int = 0, layers: int = 2, width: int = 32, sliding_window: int = 4096
) -> PaliGemmaForConditionalGeneration:
    """A model with random weights, in float32 and evaluation mode, whose output depends on picture and prompt."""
    torch.manual_seed(seed)
    vocabulary = len(processor.tokenizer)
    config = PaliGemmaConfig(
        image_token_index=processor.image_token_id,
        projection_dim=width,
        hidden_size=width,
        text_config={
            "model_type": "gemma2",
            "vocab_size": vocabulary,
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": sliding_window,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "bos_token_id": 2,
        },
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": processor.image_processor.size["height"],
            "patch_size": 14,
            "projection_dim": width,
            "vision_use_head": False,
        },
    )
    model = PaliGemmaForConditionalGeneration(config).eval()
    with torch.no_grad():  # with the usual start, tied embeddings make every token repeat itself for ever
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.02 if "embed_tokens" in name else 0.3)
    model.generation_config.eos_token_id = 1
    model.generation_config.pad_token_id = 0
    return model


def tiny_loaded(name: str = "tiny", *, model: Any = None, processor: Any = None) -> LoadedModel:
    """A model as it is loaded, without a mask decoder; a tiny one if none is given."""
    processor = processor or tiny_processor()
    return LoadedModel(
        name=name,
        model=model or tiny_model(processor),
        processor=processor,
        mask_decoder=None,
        mask_problem="There is no mask decoder in this test.",
        translators={},
        embedded=False,
        device=torch.device("cpu"),
        dtype=torch.float32,
        parameters=1,
        seconds=0.0,
    )


class Shouting:
    """Translates by shouting, so that a test sees what was given to it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def get(self, direction: str) -> Any:
        """Nothing needs to be loaded."""

    def translate(self, direction: str, texts: Texts[str]) -> list[str]:
        self.asked.append((direction, list(texts)))
        return [text.upper() for text in texts]
