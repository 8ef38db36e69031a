"""hatlib.system.containers: limits of control groups, of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hatlib.system import containers, devices

GB = 1 << 30
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")

# own groups → (group → limit, use, what is given up when needed), and what is left
CASES: dict[str, tuple[str, dict[str, tuple[object, int, int]], int | None]] = {
    "version 2": ("0::/job", {"job": (8 * GB, 3 * GB, GB)}, 6 * GB),
    "version 2, inside a container": ("0::/", {"": (4 * GB, GB, 0)}, 3 * GB),
    "version 2, a limit further up": (
        "0::/user/job",
        {"user/job": ("max", GB, 0), "user": (2 * GB, GB, 0)},
        GB,
    ),
    "version 2, none": ("0::/job", {"job": ("max", GB, 0)}, None),
    "version 2, more used than allowed": ("0::/", {"": (GB, 2 * GB, 0)}, 0),
    "version 1": ("5:cpu:/x\n4:memory:/job\n0::/", {"memory/job": (2 * GB, GB, 0)}, GB),
    "version 1, its name is that outside": (
        "4:memory:/docker/1a2b",
        {"memory": (2 * GB, GB, GB)},
        2 * GB,
    ),
    "no groups": ("", {}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_memory_that_a_group_leaves(tmp_path: Path, case: str) -> None:
    own, groups, left = CASES[case]
    (tmp_path / "own").write_text(own + "\n")
    for name, (limit, use, cached) in groups.items():
        folder = tmp_path / "groups" / name
        folder.mkdir(parents=True, exist_ok=True)
        files = V1 if name.startswith("memory") else V2
        (folder / files[0]).write_text(f"{limit}\n")
        (folder / files[1]).write_text(f"{use}\n")
        (folder / "memory.stat").write_text(f"cache 5\n{files[2]} {cached}\n")
    assert containers.memory_left(tmp_path / "groups", tmp_path / "own") == left


def test_free_memory_is_that_of_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "memory_left", lambda: 5 << 20)
    assert devices.free_memory(torch.device("cpu")) == 5 << 20
    monkeypatch.setattr(containers, "memory_left", lambda: None)
    assert devices.free_memory(torch.device("cpu")) > 5 << 20
