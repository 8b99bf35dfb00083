"""How many cores a process may use, by the files of control groups as a container has them, memory and products."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inference import machine
from inference.machine import available_cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("files", "groups", "expected"),
    [
        pytest.param({"cpu.max": "100000 100000"}, "0::/", 1, id="version 2, one core"),
        pytest.param({"cpu.max": "50000 100000"}, "0::/", 1, id="half a core is one thread"),
        pytest.param({"cpu.max": "max 100000"}, "0::/", ALL, id="version 2, no limit"),
        pytest.param({"cpu.max": "6400000 100000"}, "0::/", ALL, id="more than there are"),
        pytest.param({"app/cpu.max": "max 100000", "cpu.max": "100000 100000"}, "0::/app", 1, id="the outer limits"),
        pytest.param({"app/cpu.max": "100000 100000"}, "0::/app/worker", 1, id="between the two"),
        pytest.param(
            {"cpu/docker/cpu.cfs_quota_us": "100000", "cpu/docker/cpu.cfs_period_us": "100000"},
            "5:memory:/docker\n4:cpu:/docker", 1, id="version 1",
        ),
        pytest.param(
            {"cpu,cpuacct/cpu.cfs_quota_us": "20000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/", 1, id="version 1, two controllers in one",
        ),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/", ALL, id="version 1, no limit",
        ),
        pytest.param({"cpu.max": "nonsense"}, "0::/", ALL, id="not what it should be"),
    ],
)  # fmt: skip
def test_threads_are_no_more_than_the_quota(tmp_path: Path, files: dict[str, str], groups: str, expected: int) -> None:
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "self").write_text(groups + "\n")

    assert available_cores(proc=tmp_path / "self", cgroups=tmp_path / "cgroup") == expected


def test_without_control_groups_all_cores_are_there(tmp_path: Path) -> None:
    assert available_cores(proc=tmp_path / "none", cgroups=tmp_path) == ALL


PICTURES = """
import psutil
from inference.machine import return_freed_memory
return_freed_memory()
before = psutil.Process().memory_info().rss
held = []
for _ in range(20):
    pictures = [bytearray(12_000_000) for _ in range(4)]
    held.append([bytearray(1000) for _ in range(100)])  # what stays lies between what goes
    del pictures
print((psutil.Process().memory_info().rss - before) // 1_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_the_memory_of_large_pictures_is_given_back() -> None:
    megabytes = subprocess.run([sys.executable, "-c", PICTURES], capture_output=True, text=True, check=True).stdout
    assert int(megabytes) < 12


def test_bfloat16_is_used_for_large_products_where_it_is_faster(monkeypatch):
    seconds = {torch.float32: 2.0, torch.bfloat16: 1.0}
    capabilities: dict[str, bool] = {}
    monkeypatch.setattr(machine, "has_bfloat16", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(machine, "_product_seconds", seconds.__getitem__)

    assert machine.multiplies_bfloat16.__wrapped__()
    seconds[torch.bfloat16] = 4.0
    assert not machine.multiplies_bfloat16.__wrapped__()
    capabilities["amx_bf16"] = True
    assert machine.multiplies_bfloat16.__wrapped__(), "by AMX it is, whatever else goes on while it is measured"
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    assert not machine.multiplies_bfloat16.__wrapped__()
