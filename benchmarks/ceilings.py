"""What the machine itself can do: how fast it multiplies matrices and how fast it reads memory.

    python -m benchmarks.ceilings [--device cpu] [--dtype bfloat16,float32]

Nothing that runs here can be faster, so other benchmarks measure this beside their own figures and give the fraction
that is reached. Prints a table, then one JSON line. Knows no model.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import torch

from benchmarks.measuring import last_line, machine, synchronize, table
from inference.checkpoints import pick_device
from inference.errors import UserError
from inference.memory import release_memory
from inference.settings import device_name

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The most that was seen.

    Attributes:
        dtype: Of the matrices.
        threads: That torch had, on a CPU.
        matmul_gflops: Thousands of millions of operations a second, in a product of two square matrices.
        read_gbs: Thousands of millions of bytes a second, read from memory once and in order.
    """

    dtype: str
    threads: int
    matmul_gflops: float
    read_gbs: float


def measure(
    device: torch.device, dtype: torch.dtype, *, side: int | None = None, megabytes: int | None = None, runs: int = 5
) -> Ceilings:
    """Measures both, and gives back the memory that it took, which a model may need next.

    Args:
        device: A CPU, with the threads that torch has now, or a GPU.
        dtype: Of the matrices.
        side: Of the matrices; by default as large as the device needs to be at its best.
        megabytes: How much memory is read; by default much more than any cache holds.
        runs: How often each is done; the fastest counts.
    """
    gpu = device.type == "cuda"
    measured = Ceilings(
        dtype=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        matmul_gflops=round(_matmul(device, dtype, side or (8192 if gpu else 2048), runs) / 1e9, 1),
        read_gbs=round(_read(device, (megabytes or (8192 if gpu else 1024)) * 2**20, runs) / 1e9, 2),
    )
    release_memory()
    return measured


def of_models(device: torch.device, options: argparse.Namespace) -> list[Ceilings]:
    """Those in the dtypes that models run in, with the flags of `add_flags`."""
    return [
        measure(device, dtype, side=options.matrix_side, megabytes=options.read_megabytes, runs=3)
        for dtype in (torch.float32, torch.bfloat16)
    ]


@torch.inference_mode()
def _matmul(device: torch.device, dtype: torch.dtype, side: int, runs: int) -> float:
    a, b = (torch.randn((side, side), device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / _best(lambda: a @ b, device, runs)


@torch.inference_mode()
def _read(device: torch.device, count: int, runs: int) -> float:
    """Bytes a second. What a sum costs beyond the reading differs by machine: the best of several ways counts."""
    values = torch.ones(count // 4, dtype=torch.float32, device=device)
    if device.type == "cuda":
        return values.nbytes / min(_best(values.sum, device, runs), _best(values.amax, device, runs))
    threads = torch.get_num_threads()
    parts = values.chunk(threads)
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        one_each = _best(lambda: list(pool.map(lambda part: torch.dot(part, part), parts)), device, runs)
    return values.nbytes / min(one_each, _best(values.sum, device, runs))


def _best(run: Callable[[], object], device: torch.device, runs: int) -> float:
    """The seconds of the fastest run, after one that does not count."""
    seconds = []
    for _ in range(runs + 1):
        synchronize(device)
        begin = time.perf_counter()
        run()
        synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what every benchmark that measures ceilings lets one choose about that."""
    parser.add_argument(
        "--matrix-side", type=int, default=None, help="of the matrices that are multiplied (default: 2048, GPU: 8192)"
    )
    parser.add_argument(
        "--read-megabytes", type=int, default=None, help="of memory that are read (default: 1024, GPU: 8192)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and gives the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.ceilings", description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=device_name, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--dtype", default="float32,bfloat16", help="of the matrices, several by commas (default: float32,bfloat16)"
    )
    add_flags(parser)
    parser.add_argument("--runs", type=int, default=5, help="how often, of which the fastest counts (default: 5)")
    options = parser.parse_args(arguments)
    dtypes = options.dtype.split(",")
    if unknown := set(dtypes) - set(DTYPES):
        parser.error(f"--dtype can be {', '.join(DTYPES)}; not {', '.join(sorted(unknown))}")
    try:
        device = pick_device(options.device)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    found = [
        measure(
            device, getattr(torch, name), side=options.matrix_side, megabytes=options.read_megabytes, runs=options.runs
        )
        for name in dtypes
    ]
    here = machine(device)
    print(f"{here['gpu'] or here['cpu']}, {found[0].threads} threads, torch {here['torch']}\n")
    table(
        ("dtype", "matrix product GFLOP/s", "memory read GB/s"),
        [(each.dtype, each.matmul_gflops, each.read_gbs) for each in found],
    )
    last_line({"benchmark": "ceilings", "machine": here, "ceilings": [asdict(each) for each in found]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
