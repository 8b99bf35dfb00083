"""How long one person waits, by this engine, by the usual script, and by transformers' bfloat16 `generate`.

    python -m benchmarks.latency --model runs/checkpoint-3b --tasks describe --runs 3
    python -m benchmarks.latency --model runs/checkpoint-3b --variants script,engine:bfloat16,engine:int8 --decode 8

Variants are loaded, measured and let go one after another. Each answers new pictures of noise and writes exactly as
many tokens as its task says, whatever the weights. `script` is what most demos do: float32 and `generate`.

The fraction of the roofline: the operations of reading a picture and a prompt, over the time to the first token,
against the matrix product; the bytes read for a token, over the time of a token, against the memory read. Both ceilings
are measured just before each variant. Prints tables, then one JSON line.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from textwrap import shorten
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from transformers import GenerationConfig, PaliGemmaForConditionalGeneration, PaliGemmaProcessor
from transformers.generation.streamers import BaseStreamer

from benchmarks import ceilings, roofline
from benchmarks.measuring import Answered, ask, last_line, machine, picture, running, spread, synchronize, table
from inference.checkpoints import VARIANTS, find, pick_device
from inference.errors import UserError
from inference.loading import load
from inference.memory import release_memory
from inference.quiet import quiet_loading
from inference.settings import device_name

PROMPTS: Mapping[str, str] = MappingProxyType(
    {"describe": "describe en", "detect": "detect cat ; dog", "answer": "answer en how many?"}
)
"""Prompts; how many tokens each answer has is `lengths`."""

DEMOS: Mapping[str, torch.dtype] = MappingProxyType({"script": torch.float32, "generate": torch.bfloat16})
"""The variants that are transformers alone."""

Run = Callable[[Image.Image, str, int], Answered]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A way to answer.

    Attributes:
        run: Answers a prompt about a picture with so many tokens.
        model: For what can be reckoned from it.
        prompt_tokens: Counts a prompt's tokens, those of the picture included.
        kept: How its weights are kept, in words.
        cached_bytes: Of one number among keys and values.
        seconds: That loading took.
    """

    run: Run
    model: PaliGemmaForConditionalGeneration
    prompt_tokens: Callable[[str], int]
    kept: str
    cached_bytes: int
    seconds: float


def lengths(tokens: int) -> dict[str, int]:
    """Task -> tokens of its answer: a description has what was asked for, the others as many as they usually have."""
    return {"describe": tokens, "detect": min(30, tokens), "answer": min(3, tokens)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the command line asks for, prints it, and gives the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    variants, tasks = options.variants.split(","), options.tasks.split(",")
    for name in variants:
        kind, _, how = name.partition(":")
        if not (name in DEMOS or (kind == "engine" and how in ("", *VARIANTS))):
            parser.error(f"'{name}' is no variant; it can be {', '.join(DEMOS)}, engine, or engine:int8 and so on")
    if unknown := set(tasks) - set(PROMPTS):
        parser.error(f"--tasks can be {', '.join(PROMPTS)}; not {', '.join(sorted(unknown))}")
    if min(options.tokens, options.runs) < 1 or options.decode < 2:
        parser.error("--tokens and --runs are at least 1, --decode at least 2")
    try:
        device = pick_device(options.device)
        figures: dict[str, Any] = {
            "benchmark": "latency", "machine": machine(device), "device": str(device), "model": options.model,
            "runs": options.runs, "tokens": {task: lengths(options.tokens)[task] for task in tasks}, "variants": {},
        }  # fmt: skip
        for name in variants:
            figures["variants"][name] = attempt(name, options, device, tasks)
            release_memory()
    except UserError as error:
        parser.exit(2, f"{error}\n")
    if all("failed" in variant for variant in figures["variants"].values()):
        parser.exit(2, "".join(f"{name}: {variant['failed']}\n" for name, variant in figures["variants"].items()))
    figures["faster"] = faster(figures["variants"])
    show(figures)
    last_line(figures)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.latency", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="demo, 3b, 10b, a hub id or a folder (default: demo)")
    parser.add_argument(
        "--variants",
        default="script,generate,engine",
        help="several by commas, the first is what others are held against: script, generate, engine, and the engine "
        f"with other weights, engine:{', engine:'.join(VARIANTS)} (default: script,generate,engine)",
    )
    parser.add_argument("--device", type=device_name, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--dtype", default="auto", help="of the variant engine (default: auto)")
    parser.add_argument("--quantize", default="none", help="of the variant engine: none, int8, int4 (default: none)")
    parser.add_argument("--tasks", default=",".join(PROMPTS), help=f"several by commas (default: {','.join(PROMPTS)})")
    parser.add_argument("--tokens", type=int, default=64, help="of a description (default: 64)")
    parser.add_argument(
        "--decode",
        type=int,
        default=512,
        help="tokens at most that script and generate really write; the rest is reckoned from those, and said so",
    )
    parser.add_argument("--runs", type=int, default=5, help="answers for each task and variant (default: 5)")
    parser.add_argument("--no-warm-up", action="store_true", help="count the first answer, which reads the weights")
    ceilings.add_flags(parser)
    return parser


def attempt(name: str, options: argparse.Namespace, device: torch.device, tasks: Sequence[str]) -> dict[str, Any]:
    """Measures one variant, or says why that failed: what the others took hours for is not lost by it."""
    try:
        return measure(name, options, device, tasks)
    except (torch.OutOfMemoryError, MemoryError):
        return {"failed": "out of memory"}
    except UserError as error:
        return {"failed": str(error)}


def measure(name: str, options: argparse.Namespace, device: torch.device, tasks: Sequence[str]) -> dict[str, Any]:
    """Loads one variant, has it answer, and lets it go."""
    limits = ceilings.of_models(device, options)
    with opened(name, options, device) as loaded:
        if not options.no_warm_up:
            loaded.run(picture(0), PROMPTS[tasks[0]], 2)
        measured: dict[str, Any] = {
            "kept": loaded.kept,
            "load_s": round(loaded.seconds, 2),
            # Whichever dtype the machine multiplies fastest: nothing forbids to compute in it.
            "matmul_gflops": max(each.matmul_gflops for each in limits),
            "read_gbs": max(each.read_gbs for each in limits),
            "tasks": {},
        }
        seeds = itertools.count(1)  # the same pictures for every variant, and never one twice
        for task in tasks:
            wanted = lengths(options.tokens)[task]
            written = wanted if name.startswith("engine") else min(wanted, options.decode)
            print(f"{name}: {task}, {wanted} tokens", file=sys.stderr, flush=True)
            answers = [
                complete(loaded.run(picture(next(seeds)), PROMPTS[task], written), wanted) for _ in range(options.runs)
            ]
            measured["tasks"][task] = {"reckoned_after": written} if written < wanted else {}
            measured["tasks"][task] |= account(answers, loaded, PROMPTS[task], measured)
    return measured


def complete(answer: Answered, tokens: int) -> Answered:
    """The answer as it would be with so many tokens, each as long as those that were written."""
    return replace(answer, total=answer.first + answer.each * (tokens - 1), tokens=tokens)


def account(answers: Sequence[Answered], loaded: Loaded, prompt: str, limits: Mapping[str, Any]) -> dict[str, Any]:
    """What the answers to one prompt took, and which part of the roofline that is."""
    length = loaded.prompt_tokens(prompt)
    first, each = spread(answer.first for answer in answers), spread(answer.each for answer in answers)
    operations = roofline.reading_operations(loaded.model.config, tokens=length)
    middle = length + answers[0].tokens // 2
    count = roofline.token_bytes(loaded.model, positions=middle, cached_bytes=loaded.cached_bytes)
    stages = {
        f"{stage}_s": spread(getattr(answer.timing, stage) for answer in answers)
        for stage in ("vision", "prefill", "decode")
        if answers[0].timing.total
    }
    return {
        "tokens": answers[0].tokens,
        "first_token_s": first,
        "token_s": each,
        "total_s": spread(answer.total for answer in answers),
        **stages,
        "reading_gflop": round(operations / 1e9, 1),
        "reading_roofline": round(operations / 1e9 / limits["matmul_gflops"] / first["median"], 3),
        "token_gb": round(count / 1e9, 4),
        "token_roofline": round(count / 1e9 / limits["read_gbs"] / each["median"], 3) if each["median"] else None,
    }


def opened(name: str, options: argparse.Namespace, device: torch.device) -> AbstractContextManager[Loaded]:
    """One variant, loaded; at the end nothing of it runs any more."""
    return _demo(name, options.model, device) if name in DEMOS else _engine(name, options, device)


@contextmanager
def _engine(name: str, options: argparse.Namespace, device: torch.device) -> Any:
    begin = time.perf_counter()
    how = name.partition(":")[2]
    loaded = load(
        f"{options.model}:{how}" if how else options.model,
        device=device,
        dtype=options.dtype,
        quantize=options.quantize,
        progress=lambda *_: None,
    )
    dtype = str(loaded.dtype).removeprefix("torch.")
    quantized = how if how in ("int8", "int4") else options.quantize if not how else "none"
    with running(loaded) as engine:
        yield Loaded(
            run=lambda image, prompt, tokens: ask(engine, image, prompt, tokens=tokens),
            model=loaded.model,
            prompt_tokens=_counter(loaded.processor),
            kept=dtype if quantized == "none" else f"{quantized}, {dtype}",
            cached_bytes=4 if device.type == "cpu" else loaded.dtype.itemsize,
            seconds=time.perf_counter() - begin,
        )


@contextmanager
def _demo(name: str, model_name: str, device: torch.device) -> Any:
    begin = time.perf_counter()
    checkpoint = find(model_name)
    where = str(checkpoint.folder or checkpoint.repository)
    with quiet_loading(lambda _: None):
        processor = PaliGemmaProcessor.from_pretrained(where)
        model = PaliGemmaForConditionalGeneration.from_pretrained(where, dtype=DEMOS[name]).to(device).eval()
    yield Loaded(
        run=lambda image, prompt, tokens: generate(model, processor, image, prompt, tokens),
        model=model,
        prompt_tokens=_counter(processor),
        kept=str(DEMOS[name]).removeprefix("torch."),
        cached_bytes=DEMOS[name].itemsize,
        seconds=time.perf_counter() - begin,
    )


def _counter(processor: PaliGemmaProcessor) -> Callable[[str], int]:
    # The end of line behind the prompt is a token, and so is the start before it, which the tokenizer may add itself.
    return lambda prompt: (
        processor.image_seq_length + len(processor.tokenizer(f"<bos>{prompt}\n", add_special_tokens=False)["input_ids"])
    )


class _Clock(BaseStreamer):  # type: ignore[misc]  # transformers' types are not read
    """Notes when each token came; the first call brings the prompt."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:  # noqa: ARG002 (the streamer's signature)
        """Called by `generate`."""
        synchronize(self._device)
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Called by `generate`."""


def generate(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    image: Image.Image,
    prompt: str,
    tokens: int,
) -> Answered:
    """Answers as the usual script does, greedily, with exactly so many tokens.

    Raises:
        RuntimeError: Another number of tokens was written.
    """
    clock = _Clock(model.device)
    begin = time.perf_counter()
    inputs = processor(images=image, text=f"<image>{prompt}", return_tensors="pt").to(model.device, model.dtype)
    inputs.pop("labels", None)
    greedy = GenerationConfig(
        max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0, eos_token_id=1
    )
    with torch.inference_mode():
        model.generate(**inputs, generation_config=greedy, streamer=clock)
    first, *others = (each - begin for each in clock.times[1:])
    if 1 + len(others) != tokens:
        raise RuntimeError(f"{1 + len(others)} tokens were written, {tokens} were asked for")
    return Answered(first, others[-1] if others else first, tokens)


def faster(variants: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Variant -> task -> how many times faster than the first variant it gave the whole answer."""
    base, *others = variants
    if "failed" in variants[base]:
        return {}
    return {
        name: {
            task: round(variants[base]["tasks"][task]["total_s"]["median"] / of_task["total_s"]["median"], 2)
            for task, of_task in variants[name]["tasks"].items()
        }
        for name in others
        if "failed" not in variants[name]
    }


def show(figures: Mapping[str, Any]) -> None:
    """Prints the tables."""
    here, variants = figures["machine"], figures["variants"]
    print(f"\n{figures['model']} on {here['gpu'] or here['cpu']}, {figures['runs']} runs each, medians\n")
    columns = ("variant and task", "weights", "tokens", "first s", "each ms", "total s", "least", "most", "× first",
               "read %", "token %")  # fmt: skip
    rows: list[tuple[object, ...]] = []
    for name, variant in variants.items():
        if "failed" in variant:
            rows.append((name, shorten(variant["failed"], 40, placeholder="…"), *[None] * (len(columns) - 2)))
            continue
        for task, of_task in variant["tasks"].items():
            total = of_task["total_s"]
            rows.append(
                (f"{name} {task}{' *' if 'reckoned_after' in of_task else ''}", variant["kept"], of_task["tokens"],
                 of_task["first_token_s"]["median"], 1000 * of_task["token_s"]["median"], total["median"],
                 total["least"], total["most"], figures["faster"].get(name, {}).get(task),
                 _percent(of_task["reading_roofline"]), _percent(of_task["token_roofline"]))
            )  # fmt: skip
    table(columns, rows)
    variants = {name: variant for name, variant in variants.items() if "failed" not in variant}
    if any("reckoned_after" in of_task for variant in variants.values() for of_task in variant["tasks"].values()):
        print("* the total is reckoned from fewer tokens, which were all written\n")
    table(
        ("measured before", "matrix product GFLOP/s", "memory read GB/s", "bytes a token GB"),
        [(name, each["matmul_gflops"], each["read_gbs"], next(iter(each["tasks"].values()))["token_gb"])
         for name, each in variants.items()],
    )  # fmt: skip
    print(
        "read %: of the matrix product, until the first token. token %: of the memory read, for each further token.\n"
    )


def _percent(part: float | None) -> int | None:
    return None if part is None else round(100 * part)


if __name__ == "__main__":
    sys.exit(main())
