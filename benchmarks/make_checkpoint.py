"""Makes a checkpoint with the true configuration of PaliGemma 2 and random weights, to measure loading and answering.

    python -m benchmarks.make_checkpoint --size 3b --out runs/checkpoint-3b

The folder has what the hub's has: the same names of files and weights, shards of 5 GB with an index, and a tokenizer
with the same special ids. Knows the format; knows nothing of what the weights mean, so its answers are nonsense.
"""

import argparse
import json
import math
import shutil
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration, PreTrainedTokenizerFast

SHARD_BYTES = 5_000_000_000
CHUNK = 4 * 2**20
"""Random numbers that are made at once: little memory, and large enough to be fast."""

DTYPES = {"bfloat16": (torch.bfloat16, "BF16"), "float16": (torch.float16, "F16"), "float32": (torch.float32, "F32")}


@dataclass(frozen=True, slots=True)
class Size:
    """What tells the sizes apart: the text model, the vision tower, the picture and the words before the loc tokens."""

    text: dict[str, int]
    vision: dict[str, int]
    image_size: int = 448
    words: int = 256_000

    @property
    def image_tokens(self) -> int:
        """How many tokens a picture makes."""
        return (self.image_size // self.vision["patch_size"]) ** 2

    @property
    def image_token(self) -> int:
        """The id of `<image>`: after the words, 1024 loc tokens and 128 seg tokens."""
        return self.words + 1024 + 128


_SO400M = {
    "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
    "patch_size": 14,
}  # fmt: skip
SIZES = {
    "3b": Size(
        {
            "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
            "num_key_value_heads": 4, "head_dim": 256, "query_pre_attn_scalar": 256,
        },
        _SO400M,
    ),
    "10b": Size(
        {
            "hidden_size": 3584, "intermediate_size": 14336, "num_hidden_layers": 42, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 256, "query_pre_attn_scalar": 256,
        },
        _SO400M,
    ),
    "tiny": Size(
        {
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "query_pre_attn_scalar": 16,
        },
        {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "patch_size": 14,
        },
        image_size=56,
        words=512,
    ),
}  # fmt: skip


def make_checkpoint(
    size: Size,
    out: Path,
    *,
    layers: int | None = None,
    dtype: str = "bfloat16",
    shard_bytes: int = SHARD_BYTES,
    seed: int = 0,
) -> int:
    """Writes a checkpoint, one tensor after another.

    Args:
        size: Which configuration.
        out: The folder, made if it is missing.
        layers: Layers of the text model and of the vision tower at most, or None for all.
        dtype: A key of `DTYPES`.
        shard_bytes: The most that a file of weights holds.
        seed: Of the random numbers.

    Returns:
        The bytes of the weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "config.json", configuration(size, layers=layers, dtype=dtype))
    write_json(out / "generation_config.json", {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0})
    write_json(
        out / "preprocessor_config.json",
        {
            "image_processor_type": "SiglipImageProcessor", "processor_class": "PaliGemmaProcessor",
            "image_seq_length": size.image_tokens, "size": {"height": size.image_size, "width": size.image_size},
            "do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 3, "rescale_factor": 1 / 255,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        },
    )  # fmt: skip
    tokenizer(size).save_pretrained(out)
    with torch.device("meta"):
        model = PaliGemmaForConditionalGeneration(PaliGemmaConfig.from_pretrained(out))
    shapes = {hub_name(name): tuple(parameter.shape) for name, parameter in model.named_parameters()}
    return write_shards(shapes, out, dtype=dtype, shard_bytes=shard_bytes, seed=seed)


def configuration(size: Size, *, layers: int | None, dtype: str) -> dict[str, Any]:
    """The config.json, as the published ones have it."""
    text, vision = dict(size.text), dict(size.vision)
    if layers is not None:
        for part in (text, vision):
            part["num_hidden_layers"] = min(layers, part["num_hidden_layers"])
    rows = math.ceil((size.image_token + 1) / 64) * 64
    return {
        "architectures": ["PaliGemmaForConditionalGeneration"], "model_type": "paligemma", "torch_dtype": dtype,
        "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0, "image_token_index": size.image_token,
        "hidden_size": text["hidden_size"], "projection_dim": text["hidden_size"], "_vocab_size": size.image_token,
        "text_config": {
            "model_type": "gemma2", "vocab_size": rows, "num_image_tokens": size.image_tokens,
            "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "torch_dtype": dtype,
            **text,
        },
        "vision_config": {
            "model_type": "siglip_vision_model", "image_size": size.image_size, "vision_use_head": False,
            "num_image_tokens": size.image_tokens, "projection_dim": text["hidden_size"], "torch_dtype": dtype,
            **vision,
        },
    }  # fmt: skip


def tokenizer(size: Size) -> PreTrainedTokenizerFast:
    """A tokenizer over bytes with the ids that matter where the published one has them, and unused words between.

    `<pad>` 0, `<eos>` 1, `<bos>` 2, `<unk>` 3, then the bytes, a few pairs of letters, and unused words up to the loc
    tokens.
    """
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pairs = [(first, second) for first in "aeiou" for second in "nrst"]
    words += [first + second for first, second in pairs]
    words += [f"<unused{index}>" for index in range(size.words - len(words))]
    bytes_tokenizer = Tokenizer(
        models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=pairs, unk_token="<unk>")
    )
    bytes_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_tokenizer.decoder = decoders.ByteLevel()
    bytes_tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in words[:5]])
    # Plain added tokens: the published tokenizer keeps them when special tokens are skipped.
    bytes_tokenizer.add_tokens(
        [AddedToken(f"<loc{place:04}>", normalized=False) for place in range(1024)]
        + [AddedToken(f"<seg{code:03}>", normalized=False) for code in range(128)]
    )
    bytes_tokenizer.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    assert bytes_tokenizer.token_to_id("<image>") == size.image_token
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def hub_name(name: str) -> str:
    """The name of a weight in the published files, of its name in the model; transformers maps the one to the other."""
    name = name.removeprefix("model.")
    for old, new in (
        ("language_model.", "language_model.model."),
        ("vision_tower.", "vision_tower.vision_model."),
    ):
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def write_shards(shapes: dict[str, tuple[int, ...]], out: Path, *, dtype: str, shard_bytes: int, seed: int) -> int:
    """Writes random weights in files of at most so many bytes, and the index of them.

    Args:
        shapes: Name -> shape of every weight.
        out: The folder.
        dtype: A key of `DTYPES`.
        shard_bytes: The most that a file holds, unless one weight alone is larger.
        seed: Of the random numbers.

    Returns:
        The bytes of all weights.
    """
    width = DTYPES[dtype][0].itemsize
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    filled = 0
    for name, shape in sorted(shapes.items()):
        count = math.prod(shape) * width
        if shards[-1] and filled + count > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += count
    generator = torch.Generator().manual_seed(seed)
    weight_map: dict[str, str] = {}
    for index, shard in enumerate(shards, start=1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{index:05}-of-{len(shards):05}.safetensors"
        write_safetensors(shard, out / name, dtype=dtype, generator=generator)
        weight_map |= dict.fromkeys(shard, name)
    total = sum(math.prod(shape) for shape in shapes.values()) * width
    if len(shards) > 1:
        write_json(out / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    return total


def write_safetensors(
    shapes: dict[str, tuple[int, ...]], path: Path, *, dtype: str, generator: torch.Generator
) -> None:
    """Writes one file: the length of its header, the header, and the weights, of which only a chunk is in memory."""
    torch_dtype, code = DTYPES[dtype]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes.items():
        end = offset + math.prod(shape) * torch_dtype.itemsize
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            for values in random_weights(name, shape, torch_dtype, generator):
                file.write(values.view(torch.uint8).numpy().data)


def random_weights(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """The values of a weight in flat chunks, of a size that keeps activations near 1 through all layers.

    Norms leave the values as they are: LayerNorm's weight is 1, Gemma's is 0 because it adds 1 itself.
    """
    count = math.prod(shape)
    constant = None
    if len(shape) == 1:
        constant = 1.0 if name.startswith("vision_tower.") and name.endswith("weight") else 0.0
    width = math.sqrt(3 / math.prod(shape[1:])) if len(shape) > 1 else 0.0  # uniform, variance 1 / inputs
    if "embed_tokens" in name:
        width /= 8  # tied to the output, larger ones make a token repeat itself, and comparing tokens proves nothing
    for start in range(0, count, CHUNK):
        values = torch.empty(min(CHUNK, count - start), dtype=torch.float32)
        if constant is None:
            values.uniform_(-width, width, generator=generator)
        else:
            values.fill_(constant)
        yield values.to(dtype)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file as the hub's look."""
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the checkpoint that the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks.make_checkpoint", description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="3b")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--layers", type=int, default=None, help="layers at most, to make it smaller (default: all)")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.layers is not None and options.layers < 1:
        parser.error("--layers is at least 1")
    out = options.out.absolute()
    place = next(folder for folder in (out, *out.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    started = time.perf_counter()
    size = SIZES[options.size]
    largest = {"3b": 3.03e9, "10b": 9.66e9, "tiny": 1e6}[options.size] * DTYPES[options.dtype][0].itemsize
    if options.layers is None and largest > free:
        parser.error(f"{largest / 1e9:.1f} GB are needed in {place}, and {free / 1e9:.1f} GB are free")
    count = make_checkpoint(size, out, layers=options.layers, dtype=options.dtype, seed=options.seed)
    seconds = time.perf_counter() - started
    files = sorted(path.name for path in out.glob("*.safetensors"))
    print(f"{out}: {count / 1e9:.2f} GB of {options.dtype} weights in {len(files)} files, {seconds:.1f} s")
    print(
        json.dumps(
            {"size": options.size, "layers": options.layers, "dtype": options.dtype, "bytes": count, "files": files,
             "seconds": round(seconds, 1)}
        )
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
