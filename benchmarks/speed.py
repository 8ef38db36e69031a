"""Speed, memory and accuracy of SwinIR and HAT: the readable passes against the fused ones.

    python benchmarks/speed.py [--networks hat hat-s swinir] [--sizes 64x64 256x192] [--rounds 3]
        [--peers] [--json FILE]
    python benchmarks/speed.py --accuracy [--weights FILE…] [--json FILE]

"plain" is a network with `fused=False`: step by step as the papers have it, with a cyclic shift and
a mask, scores kept whole, the bias looked up in each block, overlapping windows copied. It keeps
our channels-last layout; the released code also copies every map between tokens and images, so
"plain" is, if anything, faster than that. "ours" is the same network with `fused=True`. With
`--peers` the same weights also run elsewhere, as far as the packages are there: the released
architectures in spandrel, what `torch.compile` makes of the readable passes, and our ONNX file in
onnxruntime and OpenVINO. OpenVINO computes in bfloat16 where the CPU has it, unless it is told the
precision, as it is here.

Each measurement has its own process, "plain" and spandrel with the system's own settings and "ours"
with hatlib's. The cases take turns, once in each round, so that whatever else the machine does
meets all of them; times are medians over runs in the process and over the rounds, the first run
left out, as for one image after another. Ratios are to "plain" in float32. "of peak" is the share
of the speed of a large matrix product, measured before. Peak memory has Python and torch in it. On
a GPU there are also TF32 and `torch.compile`.

Networks have random weights: speed does not depend on them. Accuracy does: see `accuracy`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hatlib
from hatlib.system import devices

devices.prepare_cpu()  # before torch is imported

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hatlib import HatlibError, models, upscale
from hatlib.data import datasets
from hatlib.imaging import metrics
from hatlib.models import complexity
from hatlib.system import atomic
from hatlib.system.devices import device
from hatlib.system.machine import hardware
from hatlib.weights import files, onnx_file, original

WHERE = device()
CASES = {
    "cpu": ["plain fp32", "ours fp32", "ours bf16"],
    "cuda": [
        "plain fp32",
        "plain tf32",
        "ours fp32",
        "ours tf32",
        "ours bf16",
        "ours bf16 compiled",
    ],
}
# What else runs a network on a CPU, and the packages that it takes.
PEERS = {
    "plain fp32 compiled": [],
    "spandrel fp32": ["spandrel"],
    "onnxruntime fp32": ["onnx", "onnxscript", "onnxruntime"],
    "openvino fp32": ["onnx", "onnxscript", "onnxruntime", "openvino"],
    "openvino bf16": ["onnx", "onnxscript", "onnxruntime", "openvino"],
}
LONG = 10  # seconds for a case in its process, after warming up
# The environment of a program that does not know hatlib: how long OpenMP's threads look out for
# work is libgomp's own choice, and the C library gives freed memory back to the system, because
# `hatlib.system.devices.keep_memory` leaves alone whoever has set its variables.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "300000", "GLIBC_TUNABLES": ""}
Row = dict[str, Any]


# --- one case -------------------------------------------------------------------------------------


def prepare(name: str, size: tuple[int, int], case: str) -> Callable[[], torch.Tensor]:
    """A function that runs a network once.

    Args:
        name: of the network, which gets random weights.
        size: height and width of the LR image.
        case: "plain", "ours" or one of `PEERS`, then the precision, then "compiled" if it is.
    """
    torch.manual_seed(0)
    kind, precision, *rest = case.split()
    network: Any = models.create(name, 4).eval().to(WHERE)
    lr = torch.rand(1, 3, *size, device=WHERE)
    if kind in ("onnxruntime", "openvino"):
        return of_onnx_file(network, kind, precision, lr)
    models.set_fused(network, kind == "ours")
    run = of_spandrel(network) if kind == "spandrel" else network
    if rest:
        run = torch.compile(run)

    def once() -> torch.Tensor:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
            precision == "tf32"
        )
        cast = (
            torch.autocast(WHERE.type, torch.bfloat16)
            if precision == "bf16"
            else contextlib.nullcontext()
        )
        with torch.inference_mode(), cast:
            result = run(lr)
        if WHERE.type == "cuda":
            torch.cuda.synchronize()
        return result

    return once


def of_spandrel(network: models.Network) -> nn.Module:
    """The published architecture as the public package spandrel has it, with the same weights."""
    from spandrel import ModelLoader

    return ModelLoader(WHERE).load_from_state_dict(original.state(network)).model.eval()


def of_onnx_file(
    network: models.Network, runtime: str, precision: str, lr: torch.Tensor
) -> Callable[[], torch.Tensor]:
    """A function that runs our ONNX file of a network once, with as many threads as torch."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        onnx_file.write(network, file)
        if runtime == "onnxruntime":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
            return lambda: torch.from_numpy(session.run(None, {"lr": lr.numpy()})[0])
        import openvino

        config = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(precision, precision),
        }
        compiled = openvino.Core().compile_model(file, "CPU", config)
        return lambda: torch.from_numpy(compiled({"lr": lr.numpy()})[0].copy())


def seconds(once: Callable[[], object]) -> float:
    start = time.perf_counter()
    once()
    return time.perf_counter() - start


def matrix_product(dtype: torch.dtype) -> float:
    """GFLOP/s of a product of two 2048×2048 matrices: the best of five, as it stands for what the
    machine can do."""
    a = torch.rand(2048, 2048, device=WHERE, dtype=dtype)

    def once() -> None:
        _ = a @ a
        if WHERE.type == "cuda":
            torch.cuda.synchronize()

    once()
    return 2 * 2048**3 / min(seconds(once) for _ in range(5)) / 1e9


def peak_speeds() -> dict[str, float]:
    """`matrix_product` by precision: that of bfloat16 only where the device has such products, as
    emulated ones take minutes, and no network is asked to use them."""
    found = {"fp32": matrix_product(torch.float32)}
    if devices.fast_bfloat16(WHERE):
        found["bf16"] = matrix_product(torch.bfloat16)
    return found


# --- tables ---------------------------------------------------------------------------------------


def compare(
    name: str, size: tuple[int, int], cases: list[str], rounds: int, peaks: dict[str, float]
) -> list[Row]:
    """A row for each case: median seconds over the rounds, ratio, GFLOP/s, difference from plain,
    peak memory."""
    measured: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
    results: dict[str, torch.Tensor] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for case in cases:
                measured[case].append(
                    in_a_process(name, size, case, Path(folder) / "result.safetensors")
                )
                results[case] = load_file(Path(folder) / "result.safetensors")["result"]
    times = {case: [seconds for seconds, _ in values] for case, values in measured.items()}
    work = 2 * complexity.multiply_adds(models.create(name, 4), *size) / 1e9  # GFLOP
    rows = []
    for case in cases:
        median = statistics.median(times[case])
        peak = peaks["bf16" if "bf16" in case else "fp32"]
        rows.append(
            {
                "network": name,
                "size": f"{size[0]}x{size[1]}",
                "case": case,
                "seconds": median,
                "ratio": statistics.median(times["plain fp32"]) / median,
                "gflops": work / median,
                "of_peak": work / median / peak,
                "times": times[case],
                "mib": max(mib for _, mib in measured[case]),
                "difference": float((results[case] - results["plain fp32"]).abs().max()),
            }
        )
    return rows


def in_a_process(name: str, size: tuple[int, int], case: str, result: Path) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a run in a new process, which writes what the network
    made."""
    command = [sys.executable, __file__, "--one", name, f"{size[0]}x{size[1]}", case, str(result)]
    settings = {} if case.startswith("ours") else ENVIRONMENT
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    time_taken, mib = done.stdout.split()[-2:]
    return float(time_taken), float(mib)


def one(name: str, size: str, case: str, result: str) -> None:
    """What `in_a_process` starts: one run to warm up, then the median of those that fit into `LONG`
    seconds."""
    once = prepare(name, parse_size(size), case)
    sr = once()
    times = [seconds(once)]
    while sum(times) + times[-1] < LONG:
        times.append(seconds(once))
    print(statistics.median(times), peak_memory())
    save_file({"result": sr.float().cpu().contiguous()}, result)


def peak_memory() -> float:
    """MiB at most in use by this process; on a GPU those of its memory."""
    if WHERE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if (
        status.exists()
    ):  # on Linux getrusage starts at the peak of the process that started this one
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def accuracy(weights: list[str], limit: int = 10) -> list[Row]:
    """PSNR with float32 and with bfloat16 on images of Urban100, or on the built-in pictures where
    it can't be had.

    Without weights the networks are random ones, and their PSNR says nothing about
    super-resolution. What can be said of them is how far the two results lie apart: by the PSNR of
    one against the other.
    """
    try:
        pairs = datasets.load("urban100", 4, limit=limit)
        where = "Urban100"
    except HatlibError as error:
        pairs, where = datasets.load("builtin", 4, limit=limit), f"built-in pictures ({error})"
    torch.manual_seed(0)
    networks = {path: files.load(path) for path in weights}
    if not weights:
        networks = {
            f"{name}, random weights": models.create(name, 4).eval()
            for name in ("swinir-nano", "hat-nano")
        }
    rows = []
    for name, network in networks.items():
        for pair in pairs:
            full, half = (
                upscale(network.to(WHERE), pair.lr, precision=precision)
                for precision in ("fp32", "bf16")
            )
            psnr = [metrics.psnr(result, pair.hr, shave=network.scale) for result in (full, half)]
            rows.append(
                {
                    "network": name,
                    "images": where,
                    "image": pair.name,
                    "fp32": psnr[0],
                    "bf16": psnr[1],
                    "one_to_the_other": metrics.psnr(full, half),
                }
            )
    return rows


def available_peers() -> list[str]:
    """Those of `PEERS` whose packages are there; the others are named."""
    found = []
    for case, packages in PEERS.items():
        missing = [name for name in packages if not importlib.util.find_spec(name)]
        if missing:
            print(f"{case}: left out, without {', '.join(missing)}")
        else:
            found.append(case)
    return found


# --- command --------------------------------------------------------------------------------------


def parse_size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def print_accuracy(rows: list[Row]) -> None:
    print(
        f"{'network':<32}{'images':<12}{'fp32':>8}{'bf16':>8}"
        f"{'mean |Δ|':>10}{'largest':>9}{'fp32 to bf16':>14}"
    )
    for name in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == name]
        fp32, bf16, between = (
            statistics.mean(r[key] for r in mine) for key in ("fp32", "bf16", "one_to_the_other")
        )
        differences = [abs(row["fp32"] - row["bf16"]) for row in mine]
        print(
            f"{name:<32}{len(mine)} of {mine[0]['images']:<12}{fp32:8.3f}{bf16:8.3f}"
            f"{statistics.mean(differences):10.4f}{max(differences):9.4f}{between:11.1f} dB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=["hat", "hat-s", "swinir"])
    parser.add_argument(
        "--sizes",
        nargs="+",
        default=["64x64", "256x192"],
        help="LR height x width, multiples of 16",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="other programs as well")
    parser.add_argument(
        "--accuracy", action="store_true", help="PSNR of float32 and bfloat16 instead of times"
    )
    parser.add_argument("--weights", nargs="+", default=[], help="for --accuracy: checkpoints")
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    if arguments.accuracy:
        rows = accuracy(arguments.weights)
        print_accuracy(rows)
    else:
        rows = table(
            arguments.networks,
            [parse_size(size) for size in arguments.sizes],
            arguments.rounds,
            arguments.peers,
        )
    if arguments.json:
        with atomic.atomic_path(Path(arguments.json)) as path:
            path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def table(networks: list[str], sizes: list[tuple[int, int]], rounds: int, peers: bool) -> list[Row]:
    """Measures and prints, a line as soon as it is known."""
    cases = [*CASES.get(WHERE.type, CASES["cpu"]), *(available_peers() if peers else [])]
    peaks = peak_speeds()
    cases = [case for case in cases if "bf16" in peaks or "bf16" not in case]
    amx = "yes" if torch.cpu._is_amx_tile_supported() else "no"
    print(
        f"hatlib {hatlib.__version__}, torch {torch.__version__}, {hardware()}, "
        f"{WHERE.type}, {torch.get_num_threads()} threads, AMX {amx}"
    )
    print(
        "matrix product: "
        + ", ".join(f"{name} {peak:.0f} GFLOP/s" for name, peak in peaks.items())
        + ("" if "bf16" in peaks else "; none of bfloat16 here, whose cases are left out")
    )
    print(
        f"{'network':<9}{'LR size':<9}{'case':<20}{'s':>8}{'ratio':>7}{'GFLOP/s':>9}"
        f"{'of peak':>9}{'MiB':>7}{'of plain':>10}{'difference':>12}"
    )
    rows = []
    for size in sizes:
        for name in networks:
            compared = compare(name, size, cases, rounds, peaks)
            for row in compared:
                print(
                    f"{name:<9}{row['size']:<9}{row['case']:<20}{row['seconds']:8.3f}"
                    f"{row['ratio']:7.2f}{row['gflops']:9.0f}{row['of_peak']:9.2f}{row['mib']:7.0f}"
                    f"{row['mib'] / compared[0]['mib']:10.2f}{row['difference']:12.1e}",
                    flush=True,
                )
            rows += compared
    return rows


if __name__ == "__main__":
    main()
