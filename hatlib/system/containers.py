"""What a container may use: limits of Linux control groups, which Docker, Kubernetes and Slurm set.

The computer's own figures (/proc/meminfo) do not know of them; a process that takes more is killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

# limit, use, and in memory.stat what is only a copy of files and is given up when needed
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def memory_left(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int | None:
    """Bytes that this process's group, and those around it, may still take; None without a limit.

    Args:
        groups: where the system shows control groups.
        own: the file that names those of this process.
    """
    left: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text(encoding="utf-8").splitlines():
            number, kinds, name = line.split(":", 2)
            if number == "0":  # version 2 has one hierarchy for everything
                left += _left(groups, name, VERSION_2)
            elif "memory" in kinds.split(","):
                left += _left(groups / "memory", name, VERSION_1)
    return min(left, default=None)


def _left(root: Path, name: str, files: tuple[str, str, str]) -> Iterator[int]:
    """What each group on the way from a named one to the root leaves, where it has a limit."""
    limit, use, reclaimable = files
    inside = root / name.strip("/")
    # seen from inside a container, the name may be one that only the computer knows: then the root
    # is ours
    for folder in (inside, *inside.parents):
        if not folder.is_relative_to(root):
            return
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
            most = int((folder / limit).read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
            statistics = dict(line.split() for line in lines)
            used = int((folder / use).read_text()) - int(statistics.get(reclaimable, 0))
            yield max(0, most - used)
