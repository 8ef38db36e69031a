"""The stages of `benchmarks.gpu`, one per call: what is measured of a GPU.

Whatever fails becomes a row that says so, and the next measurement follows.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import functools
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import unittest.mock
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hatlib.system import devices

devices.prepare_cpu()  # before torch is imported

import numpy as np
import torch

import hatlib
from benchmarks import gpu
from hatlib import models
from hatlib.course import kernel
from hatlib.data import builtin
from hatlib.inference.precision import autocast
from hatlib.models import Network
from hatlib.system import machine, paths, torch_settings
from hatlib.training import checkpoint, loop, recipes
from hatlib.training.state import Run
from hatlib.weights import files

CLOSING = 6  # seconds before a stage is killed from which it begins nothing new
NANO = ("rcan-nano", "swinir-nano", "hat-nano")


@dataclasses.dataclass
class Stage:
    """What a stage knows: its device, until when it may run, and where its rows go."""

    name: str
    rows: Path
    end: float  # of time.monotonic()
    dry: bool
    train: str
    device: torch.device = dataclasses.field(default_factory=devices.device)

    def left(self) -> float:
        return self.end - time.monotonic() - CLOSING

    def row(self, what: str, **values: Any) -> None:
        gpu.append(self.rows, {"stage": self.name, "what": what, **values})

    @contextlib.contextmanager
    def measuring(self, what: str, **about: Any) -> Iterator[dict[str, Any]]:
        """A row that is filled inside and written afterwards: with the error, if there is one."""
        row: dict[str, Any] = dict(about)
        try:
            yield row
        except Exception as error:  # whatever it is, the next measurement is wanted
            first = (str(error).splitlines() or [""])[0]
            row["error"] = f"{type(error).__name__}: {first}"[:200]
        self.row(what, **row)

    def precisions(self) -> list[str]:
        """What the device is fast at, or on a CPU all that it can do."""
        names = ["fp32"]
        if devices.has_tf32(self.device):
            names.append("tf32")
        if self.device.type != "cuda" or devices.fast_bfloat16(self.device):
            names.append("bf16")
        return names

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[], object], longest: float = 1.5) -> float:
        """The median of a call's seconds, after two calls to warm up."""
        for _ in range(1 if self.dry else 2):
            call()
        self.wait()
        times: list[float] = []
        while (sum(times) < (0 if self.dry else longest) and len(times) < 50) or not times:
            start = time.perf_counter()
            call()
            self.wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times)


# --- machine --------------------------------------------------------------------------------------


def machine_stage(stage: Stage) -> None:
    """Versions, and ceilings: products, memory, launches, waiting."""
    for name, value in {**machine.facts(), **machine.gpu_facts()}.items():
        stage.row("facts", name=name, value=value)
    side = 128 if stage.dry else 8192
    for precision in stage.precisions():
        with stage.measuring("products", precision=precision, side=side) as row:
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            a = torch.rand(side, side, device=stage.device, dtype=dtype)
            with torch_settings.tf32(precision == "tf32"):
                product = functools.partial(torch.matmul, a, a)
                row["tflops"] = 2 * side**3 / stage.seconds(product) / 1e12
    with stage.measuring("memory") as row:
        source = torch.zeros((1 << 20) if stage.dry else (1 << 30), device=stage.device)
        target = torch.empty_like(source)
        copied = 2 * source.nbytes  # read and written
        row["copy_gb_per_s"] = copied / stage.seconds(lambda: target.copy_(source)) / 1e9
    one = torch.zeros(1, device=stage.device)
    with stage.measuring("launches") as row:
        row["kernel_us"] = stage.seconds(lambda: [one.add_(1) for _ in range(1000)]) * 1e3
        row["wait_us"] = stage.seconds(lambda: [one.item() for _ in range(100)]) * 1e4


# --- parity ---------------------------------------------------------------------------------------


def parity_stage(stage: Stage) -> None:
    """All networks at three scales against the readable arithmetic in float64, gradients, and what
    stands on them: upscale, LAM, a resumed run."""
    resumed(stage)
    known_results(stage)
    names = NANO if stage.dry else [n for n in models.names() if n not in models.BASELINES]
    for scale in (4,) if stage.dry else (4, 2, 3):
        for name in names:
            if stage.left() < 0:
                return
            compare(stage, name, scale)


def compare(stage: Stage, name: str, scale: int) -> None:
    """Forward in each precision, and gradients at ×4."""
    torch.manual_seed(0)
    model = models.create(name, scale).eval().to(stage.device)
    exact = copy.deepcopy(model).double()
    models.set_fused(exact, False)
    unit = max(8, model.padding.multiple)
    lr = torch.rand(1, 3, 2 * unit, 3 * unit, device=stage.device)
    with torch.inference_mode():
        expected = exact(lr.double())
    for precision in stage.precisions():
        with stage.measuring("forward", network=name, scale=scale, precision=precision) as row:
            with torch.inference_mode(), autocast(stage.device, precision):
                sr = model(lr).double()
            row["largest"] = float((sr - expected).abs().max())
            row["relative"] = float((sr - expected).norm() / (expected - expected.mean()).norm())
    if scale != 4:
        return
    wanted = gradients(exact, lr.double(), stage.device, "fp32")
    for precision in stage.precisions():
        with stage.measuring("gradients", network=name, precision=precision) as row:
            given = gradients(model, lr, stage.device, precision)
            of_tensors = [
                float((given[key].double() - value).norm() / value.norm())
                for key, value in wanted.items()
                if float(value.norm()) > 0
            ]
            row["worst_tensor"] = max(of_tensors)
            row["median_tensor"] = statistics.median(of_tensors)


def gradients(
    model: Network, lr: torch.Tensor, device: torch.device, precision: str
) -> dict[str, torch.Tensor]:
    """The gradients of all parameters for a fixed direction of SR."""
    model.zero_grad()
    with torch_settings.tf32(precision == "tf32"):
        with autocast(device, precision):
            sr = model(lr)
        direction = torch.linspace(-1, 1, sr.numel(), device=device).view_as(sr)
        (sr.float() * direction).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def known_results(stage: Stage) -> None:
    """Upscaling and LAM with trained weights: the device against the CPU."""
    image = hatlib.imresize(builtin.builtin_image("facade-6")[:192, :256], 1 / 4)
    for name in NANO[-1:] if stage.dry else NANO:
        here, there = (hatlib.load_model(f"{name}-x4").to(d) for d in ("cpu", stage.device))
        expected = hatlib.upscale(here, image, precision="fp32")
        for precision in stage.precisions():
            with stage.measuring("upscale", network=name, precision=precision) as row:
                sr = hatlib.upscale(there, image, precision=precision)
                row["differing"] = float((sr != expected).mean())
                row["levels"] = int(np.abs(sr.astype(int) - expected).max())
                row["psnr_db"] = hatlib.psnr(sr, expected) if (sr != expected).any() else None
        with stage.measuring("LAM", network=name) as row:
            window, steps = (96, 96, 16), 2 if stage.dry else 20
            ours = hatlib.lam(there, image, window, steps=steps)
            reference = hatlib.lam(here, image, window, steps=steps)
            row["di"], row["di_on_the_cpu"] = ours.diffusion_index, reference.diffusion_index


def resumed(stage: Stage) -> None:
    """A run that was interrupted against one that was not, bit for bit."""
    tiny = {"embed_dim": 24, "depths": (2,), "num_heads": 2, "squeeze_factor": 6}
    changes = {"options": tiny, "patch_size": 16, "batch_size": 2, "warmup_steps": 2}
    recipe = recipes.recipe("hat-nano-x4", steps=8, **changes)

    def interrupt(run: Run) -> None:
        if run.step == 4:
            signal.raise_signal(signal.SIGINT)

    for deterministic in (True, False):
        with stage.measuring("resume", deterministic=deterministic) as row:
            fit = functools.partial(
                loop.fit, recipe, photos(), progress=False, deterministic=deterministic
            )
            with tempfile.TemporaryDirectory() as folder:
                with contextlib.suppress(loop.Stopped):
                    fit(callbacks=[interrupt], folder=folder)
                again = fit(folder=folder)
            whole = fit()
            pairs = zip(again.model.parameters(), whole.model.parameters(), strict=True)
            row["equal"] = all(torch.equal(a, b) for a, b in pairs)
            row["precision"] = whole.precision


def photos() -> list[np.ndarray]:
    """Pictures that are always at hand: nothing here depends on what is in them."""
    return [builtin.builtin_image(name)[:240, :240] for name in builtin.FACADES]


# --- speed ----------------------------------------------------------------------------------------


def speed_stage(stage: Stage) -> None:
    """Seconds, launches and memory of one forward pass: readable and fused, in each precision."""
    cases = [(name, (64, 64)) for name in ("hat", "swinir", "drct", "rcan", "dat-light")]
    cases += [(name, (256, 192)) for name in ("hat", "swinir")]
    cases += [(name, (64, 64)) for name in NANO]
    if stage.dry:
        cases = [("hat-nano", (16, 32))]
    for name, size in cases:
        model, lr = prepared(stage, name, size)
        for fused in (True, False):
            models.set_fused(model, fused)
            for precision in stage.precisions():
                if stage.left() < 0:
                    return
                about = {"network": name, "size": f"{size[0]}x{size[1]}", "precision": precision}
                about["arithmetic"] = "fused" if fused else "readable"
                with stage.measuring("forward", **about) as row:
                    row.update(cost(stage, model, lr, precision))


def compiled_stage(stage: Stage) -> None:
    """As it is, through torch.compile, and through that with CUDA graphs: a forward pass, and the
    steps of `fit`."""
    precision = stage.precisions()[-1]
    # the smallest of everything does not wait for a compiler
    modes = ("eager", "default") if stage.dry else ("eager", "default", "reduce-overhead")
    size, backend = ((16, 32), "aot_eager") if stage.dry else ((64, 64), "inductor")
    for name in ("hat-nano",) if stage.dry else ("hat-nano", "hat", "swinir-nano", "rcan-nano"):
        for mode in modes:
            about = {"network": name, "precision": precision, "mode": mode}
            if stage.left() < 20 and not stage.dry:
                return
            with stage.measuring("forward", **about) as row, options_of_compile(backend):
                compiled_forward(stage, row, name, size, precision, mode)
        for mode in modes if name == "hat-nano" else ():
            about = {"recipe": f"{name}-x4", "precision": precision, "mode": mode}
            with stage.measuring("fit", **about) as row, options_of_compile(backend):
                torch.compiler.reset()
                compiled = mode != "eager" and mode
                row.update(
                    training(stage, f"{name}-x4", precision, True, 6 if stage.dry else 60, compiled)
                )


def options_of_compile(backend: str) -> contextlib.AbstractContextManager[Any]:
    """Inside, torch.compile takes another backend, which has no modes."""
    if backend == "inductor":
        return contextlib.nullcontext()
    original = torch.compile

    def compile(model: Any, mode: object = None, **options: Any) -> Any:
        return original(model, backend=backend, **options)

    return unittest.mock.patch.object(torch, "compile", compile)


def compiled_forward(
    stage: Stage, row: dict[str, Any], name: str, size: tuple[int, int], precision: str, mode: str
) -> None:
    """Fills a row: what compiling takes, how far the numbers are from those of before, the cost."""
    model, lr = prepared(stage, name, size)
    torch.compiler.reset()
    run: Any = model
    if mode != "eager":
        run = torch.compile(model, mode=mode, fullgraph=True)
        with torch.inference_mode(), autocast(stage.device, precision):
            expected = model(lr)
            stage.wait()
            began = time.perf_counter()
            sr = run(lr)
        stage.wait()
        row["compiling_s"] = time.perf_counter() - began
        row["difference"] = float((sr - expected).abs().max())
    row.update(cost(stage, run, lr, precision))


def prepared(stage: Stage, name: str, size: tuple[int, int]) -> tuple[Network, torch.Tensor]:
    torch.manual_seed(0)
    model = models.create(name, 4).eval().to(stage.device)
    return model, torch.rand(1, 3, *size, device=stage.device)


def cost(stage: Stage, model: Any, lr: torch.Tensor, precision: str) -> dict[str, Any]:
    """Milliseconds; on a GPU also bytes per LR pixel beside weights and input, and launches."""

    def once() -> None:
        with torch.inference_mode(), autocast(stage.device, precision):
            model(lr)

    row: dict[str, Any] = {"ms": 1e3 * stage.seconds(once)}
    if stage.device.type == "cuda":
        with contextlib.suppress(RuntimeError, AttributeError):
            row["bytes_per_pixel"] = round(peak_bytes(once) / lr[0, 0].numel())
        with contextlib.suppress(RuntimeError, AttributeError):
            row.update(kernels(once))
    return row


def peak_bytes(call: Callable[[], None]) -> int:
    """The most memory that a call takes at a time, beside what was taken before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return torch.cuda.max_memory_allocated() - before


def kernels(call: Callable[[], None]) -> dict[str, Any]:
    """How many kernels and copies a call starts, and which attention is among them."""
    if not torch.backends.cuda.is_built():  # a device that is only pretended
        return {}
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        call()
        torch.cuda.synchronize()
    events = profile.events() or []
    on_gpu = [e.name for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    if not on_gpu:
        return {}
    copies = [name for name in on_gpu if name.startswith(("Memcpy", "Memset"))]
    operators = {e.name for e in events if e.device_type == torch.autograd.DeviceType.CPU}
    attention = [
        word
        for word in ("flash", "efficient", "cudnn", "math")
        if any(f"_attention_{word}" in name or f"_{word}_attention" in name for name in operators)
    ]
    return {
        "launches": len(on_gpu) - len(copies),
        "copies_from_host": sum("HtoD" in name for name in copies),
        "attention": ", ".join(attention),
    }


# --- training, LAM --------------------------------------------------------------------------------


def training_stage(stage: Stage) -> None:
    """Patches per second of `fit`, the share of time that waits for patches, and waits per step."""
    names = ("hat-nano-x4",) if stage.dry else ("hat-nano-x4", "swinir-nano-x4", "rcan-nano-x4")
    steps = 6 if stage.dry else 60
    for name in names if stage.dry else (*names, "srcnn-x4"):
        for precision in stage.precisions():
            for fused in (True, False):
                if stage.left() < 0:
                    return
                about = {"recipe": name, "precision": precision}
                about["arithmetic"] = "fused" if fused else "readable"
                with stage.measuring("fit", **about) as row:
                    row.update(training(stage, name, precision, fused, steps))
    if not stage.dry:
        for precision in stage.precisions():
            with stage.measuring(
                "step", network="hat", batch=4, patch=64, precision=precision
            ) as row:
                row.update(large_step(stage, precision))


def training(
    stage: Stage, name: str, precision: str, fused: bool, steps: int, compiled: bool | str = False
) -> dict[str, float]:
    """Of a short run."""
    recipe = recipes.recipe(name, steps=steps, warmup_steps=1, precision=precision)
    if stage.dry:
        recipe = dataclasses.replace(recipe, patch_size=8, batch_size=1)
    model = models.create(recipe.model, recipe.scale)
    models.set_fused(model, fused)
    ends: list[float] = []
    can_tell = stage.device.type == "cuda" and torch.backends.cuda.is_built()

    def note(run: Run) -> None:
        ends.append(time.perf_counter())
        if can_tell and run.step == steps - 1:  # torch warns of each wait in the last step
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")

    with warnings.catch_warnings(record=True) as waits:
        run = loop.fit(
            recipe, photos(), model=model, callbacks=[note], progress=False, compiled=compiled
        )
    if can_tell:
        torch.cuda.set_sync_debug_mode("default")
    half = len(ends) // 2  # the first half warms up
    speed = recipe.batch_size * (len(ends) - 2 - half) / (ends[-2] - ends[half])
    row = {"patches_per_s": speed, "waiting_for_patches": run.waiting / run.seconds}
    if can_tell:
        row["waits_per_step"] = sum("synchroniz" in str(wait.message) for wait in waits)
    return row


def large_step(stage: Stage, precision: str) -> dict[str, float]:
    """Forward and backward of HAT."""
    model = models.create("hat", 4).train().to(stage.device)
    lr = torch.rand(4, 3, 64, 64, device=stage.device)

    def step() -> None:
        model.zero_grad()
        with torch_settings.tf32(precision == "tf32"):
            with autocast(stage.device, precision):
                sr = model(lr)
            sr.float().mean().backward()

    seconds = stage.seconds(step)
    gigabytes = peak_bytes(step) / 1e9 if stage.device.type == "cuda" else 0.0
    return {"seconds": seconds, "patches_per_s": 4 / seconds, "gb": gigabytes}


def lam_stage(stage: Stage) -> None:
    """Seconds of an attribution map of 50 steps."""
    image = hatlib.imresize(builtin.builtin_image("facade-6")[:256, :256], 1 / 4)
    steps = 2 if stage.dry else 50
    for name in ("hat-nano",) if stage.dry else (*NANO, "swinir", "hat"):
        if stage.left() < 0:
            return
        with stage.measuring("LAM", network=name, steps=steps) as row:
            model = models.create(name, 4).eval().to(stage.device)
            explain = functools.partial(hatlib.lam, model, image, (120, 120, 16), steps=steps)
            row["seconds"] = stage.seconds(explain)


# --- tests, notebooks, weights --------------------------------------------------------------------


def tests_stage(stage: Stage) -> None:
    """The tests that need a GPU."""
    folder = (paths.checkout() or Path()) / "tests"
    marked = [
        str(path)
        for path in sorted(folder.rglob("test_*.py"))
        # the others may need packages that are not there
        if "pytest.mark.gpu" in path.read_text(encoding="utf-8")
    ]
    chosen = [path for path in marked if "test_patches" in path] if stage.dry else marked
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-6000:])
    lines = done.stdout.strip().splitlines() or ["nothing"]
    stage.row("pytest -m gpu", exit=done.returncode, said=lines[-1])


def notebooks_stage(stage: Stage) -> None:
    """Minutes of each notebook: in the default profile where there are hours, else in the quick."""
    folder = (paths.checkout() or Path()) / "notebooks"
    profile = "full" if stage.left() > 3600 else "quick"
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    for path in notebooks[:1] if stage.dry else notebooks:
        if stage.left() < 0:
            return
        with stage.measuring("run", notebook=path.stem, profile=profile) as row:
            variables = {**kernel.environment(), "HATLIB_PROFILE": profile}
            variables["HATLIB_PROGRESS"] = "off"
            began = time.perf_counter()
            notebook, running = kernel.read(path), kernel.Running()
            limit = max(1.0, stage.left())
            error = kernel.execute(notebook, folder, variables, limit, lambda: None, running)
            row["minutes"] = (time.perf_counter() - began) / 60
            row["error"] = error or None


def weights_stage(stage: Stage) -> None:
    """Trains by a recipe until the time is up; a run that is in the folder is trained on."""
    recipe = recipes.recipe(stage.train, **({"steps": 4, "batch_size": 1} if stage.dry else {}))
    out = stage.rows.parent
    end = time.monotonic() + stage.left() - CLOSING

    def stop_in_time(run: Run) -> None:
        if time.monotonic() > end:
            signal.raise_signal(signal.SIGTERM)

    with stage.measuring("training", recipe=stage.train) as row:
        images = photos() if stage.dry else list(recipes.training_images(recipe))
        with contextlib.suppress(loop.Stopped):
            loop.fit(recipe, images, callbacks=[stop_in_time], progress=False, folder=out)
        saved = checkpoint.read(out / checkpoint.NAME)
        row["steps"], row["of"] = saved.facts["step"], recipe.steps
        row["minutes"] = saved.facts["seconds"] / 60
        row["loss"] = float(np.nanmean(saved.facts["losses"][-200:]))
        model = models.create(recipe.model, recipe.scale, **recipe.options)
        model.load_state_dict(checkpoint.part("ema_model", saved.tensors))
        files.save(model, out / f"{stage.train}.safetensors", recipe.model, {}, **recipe.options)


STAGES: dict[str, Callable[[Stage], None]] = {
    "machine": machine_stage,
    "parity": parity_stage,
    "speed": speed_stage,
    "compiled": compiled_stage,
    "training": training_stage,
    "lam": lam_stage,
    "tests": tests_stage,
    "notebooks": notebooks_stage,
    "weights": weights_stage,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("stage", choices=list(STAGES))
    parser.add_argument("rows", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dry", action="store_true")
    asked = parser.parse_args()
    stage = Stage(asked.stage, asked.rows, time.monotonic() + asked.seconds, asked.dry, asked.train)
    STAGES[asked.stage](stage)


if __name__ == "__main__":
    main()
