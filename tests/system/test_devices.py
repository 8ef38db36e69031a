"""hatlib.system.devices: which device is taken; importing changes nothing, and work is prepared
once, unless the user chose otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator

import pytest
import torch

from hatlib import HatlibError, hello
from hatlib.system import devices, machine

# the environment of a program that has nothing of ours in it
BARE = {
    name: value
    for name, value in os.environ.items()
    if name not in (*devices.THREADS, *devices.CACHES, *devices.ALLOCATOR)
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
    code += "added = dict(os.environ).items() ^ before.items()\n"
    code += "print(all(name.startswith('TORCHINDUCTOR_') for name, _ in added))"  # torch's own
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


# --- which device ---------------------------------------------------------------------------------

ONES = torch.ones
NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`fault` looks anew, before the test and after it."""
    monkeypatch.delenv("HATLIB_DEVICE", raising=False)
    devices.fault.cache_clear()
    yield
    devices.fault.cache_clear()


def machine_with(monkeypatch: pytest.MonkeyPatch, *listed: str, works: bool = True) -> None:
    """A machine on which torch lists "cuda" or "mps", and on which it can compute, or not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in listed)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in listed)

    def ones_there(count: int, device: str) -> torch.Tensor:
        if device.partition(":")[0] not in ("cpu", *listed):
            raise AssertionError("Torch not compiled with CUDA enabled")
        if not works:
            raise RuntimeError(f"{NO_KERNEL}\nCompile with TORCH_USE_CUDA_DSA")
        return ONES(count)

    monkeypatch.setattr(torch, "ones", ones_there)


@pytest.mark.parametrize(
    "listed, works, asked, taken, remark",
    [
        ((), True, "", "cpu", ""),
        (("cuda",), True, "", "cuda", ""),
        (("cuda",), True, "auto", "cuda", ""),
        (("cuda",), True, "cpu", "cpu", ""),
        (("cuda",), True, "cuda:1", "cuda:1", ""),
        (("cuda",), False, "", "cpu", f"the GPU is not used, because torch .*: {NO_KERNEL}"),
        (("mps",), True, "", "cpu", "Apple's GPU is not used; HATLIB_DEVICE=mps takes it"),
        (("mps",), True, "mps", "mps", "Apple's MPS is used as asked: no result has been checked"),
    ],
)
def test_the_device_that_is_taken(
    listed: tuple[str, ...],
    works: bool,
    asked: str,
    taken: str,
    remark: str,
    pretend: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine_with(monkeypatch, *listed, works=works)
    monkeypatch.setenv("HATLIB_DEVICE", asked)
    assert str(devices.device()) == taken
    assert bool(devices.remark()) == bool(remark)
    assert re.match(remark, devices.remark())


@pytest.mark.parametrize(
    "works, asked, words",
    [
        (True, "gpu", "HATLIB_DEVICE is 'gpu'; it can be cpu, cuda, cuda:1"),
        (True, "mps", "HATLIB_DEVICE is 'mps', which cannot compute here: Torch not compiled"),
        (False, "cuda", f"HATLIB_DEVICE is 'cuda', which cannot compute here: {NO_KERNEL}$"),
    ],
)
def test_a_device_that_cannot_compute_is_an_error_where_it_was_named(
    works: bool, asked: str, words: str, pretend: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, "cuda", works=works)
    monkeypatch.setenv("HATLIB_DEVICE", asked)
    with pytest.raises(HatlibError, match=words):
        devices.device()


def test_on_colab_without_a_gpu_the_first_cell_says_how_to_get_one(
    pretend: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine_with(monkeypatch)
    hello()
    assert "runtime" not in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    hello()
    said = capsys.readouterr().out
    assert "Runtime > Change runtime type > T4 GPU" in said
    assert "results are worse" in said  # what it costs not to
    assert max(map(len, said.splitlines())) <= 100


def test_the_facts_of_a_gpu(pretend: None, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch)
    assert machine.gpu_facts() == {}
    machine_with(monkeypatch, "cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (12 << 30, 15 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90"])
    facts = machine.gpu_facts()
    assert facts["GPU memory"] == "15.0 GiB, 12.0 free"
    assert facts["GPU architecture"] == "sm_75; torch has kernels for sm_75 sm_90"
    assert facts["TF32"] == "not on this GPU"
    assert "math" in facts["attention"]


# --- sizes that come once -------------------------------------------------------------------------

MANY_SIZES = r"""
import re
import torch
from hatlib.system import devices
devices.prepare_cpu()
conv = torch.nn.Conv2d(3, 64, 5)
for number in range(400):
    with torch.inference_mode():
        conv(torch.zeros(1, 3, 40 + number // 20, 40 + number % 20))
    if number in (269, 399):
        devices.release_memory()
        print(re.search(r"VmRSS:\s+(\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells how much memory a process has")
def test_sizes_that_come_once_take_no_memory_for_good() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY_SIZES], env=BARE, capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    assert after - before < 2000  # kB; 7,000 with caches of the size that they have in torch


@pytest.mark.parametrize("name", devices.CACHES)
def test_a_size_of_a_cache_that_the_user_set_is_left_alone(name: str) -> None:
    code = f"{PREPARE}import os\nprint(os.environ['{name}'])\nallocator = os.environ['{name}']\n"
    assert said(code)[1] == devices.CACHES[name]
    assert said(code, **{name: "7"})[1] == "7"


@pytest.mark.parametrize(
    ("limit", "has"), [(None, True), ("avx2", False), ("AVX512_CORE", False), ("ALL", True)]
)
def test_bfloat16_goes_where_onednn_may_not_use_it(
    limit: str | None, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert devices.fast_bfloat16("cpu") is has
    assert not devices.fast_bfloat16("mps")
