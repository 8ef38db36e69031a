"""hatlib.system.devices: importing changes nothing, and work is prepared once, unless the user
chose otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hatlib.system import devices

# the environment of a program that has nothing of ours in it
BARE = {
    name: value
    for name, value in os.environ.items()
    if name not in (*devices.THREADS, *devices.ALLOCATOR)
}
SAY = """
print(*[os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")])
print(allocator)
"""
WATCH = """
import ctypes, os, sys
allocator = []
class Library:
    def __init__(self, *_):
        self.mallopt = lambda *call: allocator.append(call)
ctypes.CDLL = Library
"""


def said(code: str, **variables: str) -> list[str]:
    """What a new process prints of its environment, and of what it told the C library."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH + code + SAY],
        env={**BARE, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-2:]


PREPARE = "from hatlib.system import devices\ndevices.prepare_cpu()\n"
TOLD = "[(-3, 134217728), (-1, 1073741824)]" if sys.platform == "linux" else "[]"


@pytest.mark.parametrize("module", ["hatlib", "hatlib.models", "hatlib.inference.upscale"])
def test_importing_sets_nothing(module: str) -> None:
    watched = WATCH.replace("ctypes.CDLL = Library", "")  # torch itself loads libraries
    code = f"{watched}\nbefore = dict(os.environ)\nimport {module}\n"
    code += "import hatlib.system.devices as d\nassert d.prepare_cpu.cache_info().currsize == 0\n"
    code += "print(before == dict(os.environ))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=BARE, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


def test_what_a_cpu_needs_is_set_before_torch_is_imported() -> None:
    assert said(PREPARE) == ["PASSIVE 4000", TOLD]
    assert said(PREPARE + "assert 'torch' not in sys.modules\n") == ["PASSIVE 4000", TOLD]
    assert said(PREPARE + "devices.prepare_cpu()\n") == ["PASSIVE 4000", TOLD]  # told once


def test_after_torch_the_variables_would_come_too_late_and_stay_as_they_are() -> None:
    assert said("sys.modules['torch'] = os\n" + PREPARE) == ["None None", TOLD]


def test_what_the_user_set_is_left_alone() -> None:
    assert said(PREPARE, OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE 4000", TOLD]
    assert said(PREPARE, GOMP_SPINCOUNT="7") == ["PASSIVE 7", TOLD]
    for name in devices.ALLOCATOR:
        value = "" if name == "GLIBC_TUNABLES" else "131072"
        assert said(PREPARE, **{name: value}) == ["PASSIVE 4000", "[]"]


def test_a_command_prepares_the_cpu_before_it_imports_torch() -> None:
    command = "from hatlib.cli import main\nassert 'torch' not in sys.modules\nmain(['--help'])\n"
    assert said(command) == ["PASSIVE 4000", TOLD]
    assert said(command, OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE 4000", TOLD]


def test_work_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    import hatlib

    calls = []
    monkeypatch.setattr(devices, "prepare_cpu", lambda: calls.append("prepared"))
    image = np.zeros((12, 12, 3), np.uint8)
    hatlib.upscale(hatlib.create_model("nearest", 2), image)
    assert calls == ["prepared"]
    hatlib.lam(hatlib.create_model("bicubic", 2), image, (4, 4, 4), steps=1)
    assert len(calls) == 2
