"""How long a checkpoint takes to load and to answer for the first time, and how much memory at most.

    python -m benchmarks.loading --model runs/checkpoint-3b

Prints a table, then one JSON line. Memory is the peak of the process (resident, mapped files included), to be held
against the size of the weights; on a GPU, also the peak of its allocations.
"""

import argparse
import resource
import sys
from collections.abc import Sequence

import torch

from benchmarks.measuring import ask, last_line, picture, running
from inference.checkpoints import pick_device
from inference.errors import UserError
from inference.loading import load
from inference.settings import device_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks.loading", description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="demo, 3b, 10b, a hub id or a folder")
    parser.add_argument("--device", type=device_name, default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantize", default="none")
    parser.add_argument("--prompt", default="detect cat")
    parser.add_argument("--tokens", type=int, default=16)
    options = parser.parse_args(arguments)
    before = peak_memory()
    try:
        measured = measure(options)
    except UserError as error:
        parser.exit(1, f"{error}\n")
    measured["process_before_gb"] = before
    for name, value in measured.items():
        print(f"{name:24} {value}")
    last_line(measured)
    return 0


def measure(options: argparse.Namespace) -> dict[str, float | int | str]:
    """Loads, answers twice (the first answer also brings the weights into memory), and notes what it took."""
    device = pick_device(options.device)
    loaded = load(
        options.model, device=device, dtype=options.dtype, quantize=options.quantize, progress=lambda *_: None
    )
    after_load = peak_memory()
    weights = weight_bytes(loaded.model)
    answers = []
    with running(loaded) as engine:
        for seed in (1, 2):  # two pictures, as the engine keeps the features of one it has seen
            answers.append(ask(engine, picture(seed), options.prompt, tokens=options.tokens))
    return {
        "model": loaded.name,
        "device": str(device),
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "parameters": loaded.parameters,
        "weights_gb": round(weights / 1e9, 2),
        "load_s": round(loaded.seconds, 2),
        "first_answer_first_token_s": round(answers[0].first, 2),
        "first_token_s": round(answers[1].first, 2),
        "token_s": round(answers[1].each, 3),
        "peak_after_load_gb": after_load,
        "peak_gb": peak_memory(),
        "peak_over_weights": round(1e9 * peak_memory() / weights, 3),
        "gpu_peak_gb": round(torch.cuda.max_memory_allocated(device) / 1e9, 2) if device.type == "cuda" else 0.0,
    }


def weight_bytes(model: torch.nn.Module) -> int:
    """What a model's weights take before an engine fuses some; quantized ones are buffers."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def peak_memory() -> float:
    """The most memory that this process has held so far, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2)


if __name__ == "__main__":
    sys.exit(main())
