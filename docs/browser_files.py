"""The files of the page "In your browser": networks as ONNX, ONNX Runtime Web, pictures.

The page itself is docs/try.md, its scripts are docs/browser/. What is exported and installed is
kept in build/, and made again when what it comes from has changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hatlib
from hatlib import HatlibError
from hatlib.data import builtin
from hatlib.models import Network
from hatlib.weights import files, onnx_file

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "docs" / "browser"
NPM = ROOT / "build" / "npm"
INSTALLED = NPM / ".installed"
EXPORTS = ROOT / "build" / "onnx"
OUT = ROOT / "build" / "browser"
INSTALLED_FROM = ("package.json", "package-lock.json", ".npmrc")
# scripts and binaries for the processor, and for the GPU
RUNTIME = (
    "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
NETWORKS = {
    "srcnn-x4": "SRCNN",
    "rcan-nano-x4": "RCAN (nano)",
    "swinir-nano-x4": "SwinIR (nano)",
    "hat-nano-real-x4": "HAT (nano), real photos",
    "hat-nano-x4": "HAT (nano)",
}
PICTURES = ("cat", "coffee", "astronaut", "facade-2")
SCALE = 4
LIMITS = {
    # of a picture; the result has 4096×4096, the largest canvas of an iPhone
    "most": 1024 * 1024,
    "instead": 256,  # side of what is taken of a larger one
    # up to so many pixels at once, which take HAT 0.7 GB; more go through in tiles, which are as
    # many with their halo
    "whole": {"pixels": 160 * 160, "tile": 96},
}


def gather() -> Path:
    """Brings the files together in build/browser.

    Raises:
        HatlibError: npm or a package is missing, or npm fails; says in one line what was wrong.
    """
    onnx_file.check_packages()
    runtime = install()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for file in [
        *SCRIPTS.glob("*.js"),
        SCRIPTS / "page.css",
        *(runtime / name for name in RUNTIME),
    ]:
        shutil.copy2(file, OUT)
    shutil.copy2(files.TRAINED / "LICENSE.txt", OUT / "LICENSE-weights.txt")
    models = {"scale": SCALE, **LIMITS, "networks": networks(), "pictures": pictures()}
    (OUT / "models.json").write_text(json.dumps(models, ensure_ascii=False, indent=1), "utf-8")
    return OUT


def at_hand() -> bool:
    """Whether all is there that takes time to make."""
    return installed() and all(file.is_file() for file in exports().values())


# ---- packages of npm -----------------------------------------------------------------------------


def install() -> Path:
    """Has npm install what docs/browser/package-lock.json says. Returns the runtime's folder."""
    if not installed():
        if (npm := shutil.which("npm")) is None:
            raise HatlibError("npm is not installed")
        shutil.rmtree(NPM, ignore_errors=True)
        NPM.mkdir(parents=True)
        for name in INSTALLED_FROM:
            shutil.copyfile(SCRIPTS / name, NPM / name)
        # without a network it should say so soon
        options = ["--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        ran = subprocess.run([npm, "ci", *options], cwd=NPM, capture_output=True, text=True)
        if ran.returncode:
            said = " ".join(ran.stderr.replace("npm error", "").split())[:150]
            raise HatlibError(f"npm could not install onnxruntime-web: {said}")
        INSTALLED.touch()
    return NPM / "node_modules" / "onnxruntime-web" / "dist"


def installed() -> bool:
    """Whether npm has installed what is wanted today."""
    return INSTALLED.is_file() and all(
        (NPM / name).read_bytes() == (SCRIPTS / name).read_bytes() for name in INSTALLED_FROM
    )


# ---- networks ------------------------------------------------------------------------------------


def networks() -> list[dict[str, Any]]:
    """Exports the networks that are not there yet; what the page has to know of each."""
    EXPORTS.mkdir(parents=True, exist_ok=True)
    exported = exports()
    missing = [(name, file) for name, file in exported.items() if not file.is_file()]
    if missing:
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(export, *zip(*missing, strict=True)))
    described = []
    for name, title in NETWORKS.items():
        shutil.copyfile(exported[name], OUT / f"{name}.onnx")
        model = hatlib.load_model(name)
        described.append({"name": name, "title": title, "file": f"{name}.onnx", **facts(model)})
    return described


def exports() -> dict[str, Path]:
    """Where each network's ONNX file is, or will be."""
    return {name: EXPORTS / f"{name}-{origin(name)}.onnx" for name in NETWORKS}


def origin(name: str) -> str:
    """A hash of all that an exported network comes from."""
    package = ROOT / "hatlib"
    sources = list((package / "models").rglob("*.py"))
    sources += [package / "imaging" / "resize.py", package / "imaging" / "convert.py"]
    sources += [package / "weights" / "onnx_file.py", files.TRAINED / f"{name}.safetensors"]
    digest = hashlib.sha256(" ".join(map(version, ("torch", *onnx_file.PACKAGES))).encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def export(name: str, file: Path) -> None:
    """Writes a network of the course as ONNX."""
    about = {"weights": name, "licence": files.TRAINED_LICENCE}
    onnx_file.write(hatlib.load_model(name), file, about)


def facts(model: Network) -> dict[str, Any]:
    """What a network wants of its tiles."""
    padding = model.padding
    return {
        "scale": model.scale,
        "halo": model.halo,
        "local": model.local,
        "padding": {
            "multiple": padding.multiple,
            "border": padding.border,
            "always": padding.always,
        },
    }


# ---- pictures ------------------------------------------------------------------------------------


def pictures() -> list[dict[str, Any]]:
    """Writes the built-in pictures as LR and HR; what the page says of each."""
    described = []
    for name in PICTURES:
        hr = hatlib.crop_to_multiple(hatlib.builtin_image(name), SCALE)
        hatlib.save_image(OUT / f"{name}-hr.png", hr)
        hatlib.save_image(OUT / f"{name}-lr.png", hatlib.imresize(hr, 1 / SCALE))
        photograph = builtin.PHOTOGRAPHS.get(name)
        title = photograph.shows.rpartition(",")[0] if photograph else "a façade"
        terms = photograph.terms if photograph else "drawn by hatlib"
        files_of = {"lr": f"{name}-lr.png", "hr": f"{name}-hr.png"}
        title = title[0].upper() + title[1:]
        described.append({"name": name, "title": title, "terms": terms, **files_of})
    return described


if __name__ == "__main__":
    try:
        print(gather())
    except HatlibError as error:
        sys.exit(f"the page is not built: {error}")
