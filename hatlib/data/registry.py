"""Every public file that hatlib knows: address, size and SHA-256."""

from __future__ import annotations

import functools
from pathlib import Path

from hatlib.system.downloads import Remote

REGISTRY = Path(__file__).with_name("registry.txt")


@functools.cache
def registry() -> dict[str, tuple[Remote, ...]]:
    """Every file that hatlib knows of, by set; "set:lr" has the original LR files of a set."""
    sets: dict[str, tuple[Remote, ...]] = {}
    section = folder = address = ""
    for line in REGISTRY.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            head, address = line[1:].split("] ")
            section, folder = head.split()
        elif line and not line.startswith("#"):
            name, size, sha256 = line.split()
            url = address.format(name=name, stem=Path(name).stem)
            remote = Remote(f"{folder}/{name}", (url,), int(size), sha256)
            sets[section] = (*sets.get(section, ()), remote)
    return sets
