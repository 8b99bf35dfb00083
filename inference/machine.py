"""What this machine can really give a process: memory, cores and kinds of products. Containers hide it.

Knows control groups and CPUs. Knows no models.
"""

import ctypes
import functools
import math
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

_SELF = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of glibc's malloc.h
_LARGE = 2 * 1024 * 1024
_ARENAS = 2


@functools.cache
def has_bfloat16() -> bool:
    """Whether the CPU has instructions that multiply bfloat16 (AVX512-BF16, AMX)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether products of large matrices are faster in bfloat16 than in float32 here.

    With AMX they are many times as fast, with AVX512-BF16 alone twice as fast on some processors and half as fast on
    others, which no flag tells: where there is doubt it is measured, once, in some 50 ms.
    """
    if not has_bfloat16():
        return False
    if torch.cpu.get_capabilities().get("amx_bf16"):
        return True
    return _product_seconds(torch.bfloat16) < _product_seconds(torch.float32)


def _product_seconds(dtype: torch.dtype) -> float:
    """The fastest of a few products of matrices that are large enough for the processor to be at its best."""
    matrix = torch.ones((768, 768), dtype=dtype)
    seconds = []
    for _ in range(4):
        begin = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def return_freed_memory() -> None:
    """Makes the C library give large blocks back to the system when they are freed.

    By itself glibc keeps blocks of up to 32 MB once it has seen such, in up to 8 pools for each core: where many
    threads open pictures, a process takes more and more memory that nothing holds. Other libraries are left alone.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_ARENA_MAX, _ARENAS)


def available_memory(*, proc: Path = _SELF, cgroups: Path = _CGROUPS) -> int:
    """Bytes that this process can still take: of the machine, and of every control group around it.

    A container sees the whole machine's memory in /proc/meminfo; its limit is that of its control group, of version 1
    or 2. Cached files count as used there, but give way.

    Args:
        proc: The file that names the groups of this process.
        cgroups: Where the groups' files are.
    """
    available = int(psutil.virtual_memory().available)
    for folder, version in _groups("memory", proc, cgroups):
        limit_file, usage_file, cache = (
            ("memory.max", "memory.current", "inactive_file")
            if version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        try:
            limit = int((folder / limit_file).read_text())
            used = int((folder / usage_file).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            available = min(available, limit - used + int(statistics.get(cache, 0)))
        except (OSError, ValueError):  # no such group in this name space, or "max": no limit
            continue
    return max(available, 0)


def available_cores(*, proc: Path = _SELF, cgroups: Path = _CGROUPS) -> int:
    """How many cores this process may keep busy: those it is bound to, and the quota of every control group around it.

    A thread beyond the quota does not add work, it makes all wait: the group is stopped once it has used its time.

    Args:
        proc: The file that names the groups of this process.
        cgroups: Where the groups' files are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder, version in _groups("cpu", proc, cgroups):
        try:
            if version == 2:
                quota, period = map(int, (folder / "cpu.max").read_text().split())
            else:
                quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        except (OSError, ValueError):  # no such group in this name space, or "max": no limit
            continue
        if quota > 0 and period > 0:  # -1: no limit
            cores = min(cores, math.ceil(quota / period))
    return max(cores, 1)


def _groups(controller: str, proc: Path, cgroups: Path) -> Iterator[tuple[Path, int]]:
    """Folders of the control groups around this process, innermost first, each with its version, 1 or 2."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, version = cgroups, 2
        elif controller in controllers.split(","):
            # Controllers that share a tree have it under their joint name, and usually a link under each.
            named = cgroups / controllers
            root, version = named if named.is_dir() else cgroups / controller, 1
        else:
            continue
        group = root / path.lstrip("/")
        while True:
            yield group, version
            if group == root or root not in group.parents:
                break
            group = group.parent
