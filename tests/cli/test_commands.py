"""The commands: what they print and write, and that bad input gets exit code 2 and one line that
helps."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hatlib import HatlibError, __version__, models
from hatlib.cli import app, options, results
from hatlib.imaging import convert, degradation, io, real_world, user_files
from hatlib.imaging.resize import imresize
from hatlib.inference import upscale
from hatlib.weights import files

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: photo.png, one.png (1×1), text.png, cut.png (truncated), film.gif
    (animated), glass.png (transparent), weights in swin.safetensors, an empty folder, a set with an
    unreadable file."""
    io.save_image(tmp_path / "photo.png", PHOTO)
    io.save_image(tmp_path / "one.png", PHOTO[:1, :1])
    (tmp_path / "text.png").write_text("this is not a picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "photo.png").read_bytes()[:2000])
    frames = [Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    user_files.write_picture(tmp_path / "glass.png", user_files.Picture(PHOTO, PHOTO[..., 0]))
    files.save(models.create("swinir-nano"), tmp_path / "swin.safetensors", "swinir-nano")
    (tmp_path / "empty").mkdir()
    (tmp_path / "set2").mkdir()
    io.save_image(tmp_path / "set2" / "a.png", PHOTO)
    (tmp_path / "set").mkdir()
    for name in ("a.png", "b.png"):
        io.save_image(tmp_path / "set" / name, PHOTO)
    (tmp_path / "set" / "broken.png").write_text("nor is this")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hatlib(command: str) -> int:
    """Runs a command as it would be typed; its exit code."""
    return app.main(command.split())


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic as networks are run: in float, rounded once at the end."""
    return convert.to_image(imresize(convert.to_tensor(image), scale))


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


BAD_INPUT = {
    "missing file": ("upscale nowhere.png out.png --model bicubic", "no such file: nowhere.png"),
    "text file": ("upscale text.png out.png --model bicubic", "text.png is not an image"),
    "text file, degrade": ("degrade text.png out.png", "text.png is not an image"),
    "truncated file": ("upscale cut.png out.png --model bicubic", "cut.png is damaged"),
    "truncated file, degrade": ("degrade cut.png out.png", "cut.png is damaged"),
    "1×1 image": ("degrade one.png out.png", "at least 4×4, got 1×1"),
    "empty folder": ("upscale empty out --model bicubic", "no image in empty"),
    "empty folder, degrade": ("degrade empty out", "no image in empty"),
    "empty folder, evaluate": ("evaluate --model bicubic --data empty", "no image in empty"),
    "unknown data set": ("evaluate --model bicubic --data sett5", "did you mean 'set5'?"),
    "unknown data set, fetch": ("fetch set5 urban10", "did you mean 'urban100'?"),
    "unknown weights, fetch": ("fetch hat-x4-imagnet", "did you mean 'hat-x4-imagenet'?"),
    "weights that can't be fetched": (
        "fetch rcan-x4",
        "rcan-x4 can't be downloaded (only in a zip archive",
    ),
    "weights of another scale": (
        "evaluate --model hat-x2 --data builtin",
        "hat-x2 upscales ×2, and --scale asks for",
    ),
    "a network without weights": (
        "upscale photo.png out.png --model hat-s",
        "weights for it are hat-s-x2, hat-s-x3",
    ),
    "unknown model": ("upscale photo.png out.png --model bicubik", "did you mean 'bicubic'?"),
    "unknown model, evaluate": (
        "evaluate --model neares --data builtin",
        "did you mean 'nearest'?",
    ),
    "animation": ("upscale film.gif out.png --model bicubic", "has 2 frames"),
    "transparency into JPEG": (
        "upscale glass.png out.jpg --model bicubic",
        "transparency can be kept in",
    ),
    "fp16 with attention": (
        "upscale photo.png out.png --model swin.safetensors --precision fp16",
        "fp16 is refused",
    ),
    "missing weights": (
        "upscale photo.png out.png --model w.safetensors",
        "no such file: w.safetensors",
    ),
    "weights that are none": (
        "upscale photo.png out.png --model text.png",
        "text.png is not a file of weights",
    ),
    "scale 7": ("upscale photo.png out.png --model bicubic --scale 7", "scale is 7"),
    "scale 7, evaluate": ("evaluate --model bicubic --data builtin --scale 7", "scale is 7"),
    "scale 0": ("degrade photo.png out.png --scale 0", "--scale"),
    "scale of words": ("degrade photo.png out.png --scale four", "--scale"),
    "negative noise": ("degrade photo.png out.png --noise-sigma -1", "--noise-sigma"),
    "noise that is not a number": ("degrade photo.png out.png --noise-sigma nan", "sigma"),
    "two chains at once": ("degrade photo.png out.png --real-world --noise-sigma 2", "leave out"),
    "negative tile": ("upscale photo.png out.png --model bicubic --tile -3", "--tile"),
    "unknown precision": (
        "upscale photo.png out.png --model bicubic --precision fp33",
        "did you mean 'fp32'?",
    ),
    "limit 0": ("evaluate --model bicubic --data set --limit 0", "--limit"),
    "unknown recipe": ("train hat-nanno-x4", "did you mean 'hat-nano-x4'?"),
    "unknown setting": ("train srcnn-x4 --set step=5", "did you mean 'steps'?"),
    "setting of 0.1": ("train srcnn-x4 --set clip=1", "did you mean 'max_grad_norm'?"),
    "setting of words": ("train srcnn-x4 --set steps=many", "steps is 'many'"),
    "patch against window": ("train hat-nano-x4 --set patch_size=20", "windows of 8"),
    "patch too large": (
        "train srcnn-x4 --set data=set2 patch_size=20",
        "none of the 1 images has the 80×80 pixels",
    ),
    "training on nothing": ("train srcnn-x4 --set data=empty", "no image in empty"),
    "unknown lr": ("evaluate --model bicubic --data builtin --lr mine", "torch or original"),
    "no original lr": (
        "evaluate --model bicubic --data builtin --lr original",
        "no original LR files",
    ),
    "output below a file": ("upscale photo.png text.png/out.png --model bicubic", "cannot write"),
    "output in a missing folder": (
        "degrade photo.png nowhere/out.png",
        "folder nowhere does not exist",
    ),
    "output folder is a file": ("degrade set text.png", "cannot write to the folder text.png"),
    "output of no known format": ("degrade photo.png out.xyz", "has to end in"),
    "output is the input": ("degrade photo.png photo.png", "it is an input of this command"),
    "output folder is the input": ("degrade set set", "originals would be lost"),
    "table in a missing folder": (
        "datasets --json nowhere/out.json",
        "folder nowhere does not exist",
    ),
    "table of models": ("models --json text.png/x", "cannot write"),
    "table is a folder": ("doctor --json empty", "it is a folder"),
    "table of evaluate": (
        "evaluate --model bicubic --data builtin --json text.png/x",
        "cannot write",
    ),
    "results below a file": (
        "evaluate --model bicubic --data set --save-images text.png/x",
        "cannot write",
    ),
    "window outside": (
        "lam photo.png out.png --model bicubic --window 0 230 16",
        "which has 160×240 pixels",
    ),
    "window above": (
        "lam photo.png out.png --model bicubic --window -1 0 16",
        "at row -1, column 0 does not lie",
    ),
    "window of two numbers": ("lam photo.png out.png --window 0 0 --model bicubic", "--window"),
    "no window": ("lam photo.png out.png --model bicubic", "--window"),
    "unknown rule": (
        "lam photo.png out.png --model bicubic --window 0 0 9 --rule rigth",
        "did you mean 'right'?",
    ),
    "no steps": ("lam photo.png out.png --model bicubic --window 0 0 9 --steps 0", "--steps"),
    "figure of no known format": (
        "lam photo.png out.bmp --model bicubic --window 0 0 9",
        "has to end in",
    ),
    "figure in a missing folder": (
        "lam photo.png nowhere/a.png --model bicubic --window 0 0 9",
        "does not exist",
    ),
    "text file, lam": (
        "lam text.png out.png --model bicubic --window 0 0 9",
        "text.png is not an image",
    ),
    "unknown model, lam": (
        "lam photo.png out.png --model neares --window 0 0 9",
        "did you mean 'nearest'?",
    ),
    "unknown model, reproduce": (
        "reproduce --models bicubic,neares --data set",
        "did you mean 'nearest'?",
    ),
    "unknown set, reproduce": (
        "reproduce --models bicubic --data set,sett5",
        "did you mean 'set5'?",
    ),
    "empty folder, reproduce": (
        "reproduce --models bicubic --data empty --out new",
        "no image in empty",
    ),
    "results below a file, reproduce": (
        "reproduce --models bicubic --data set --out text.png/x",
        "cannot write",
    ),
    "unknown lr, reproduce": (
        "reproduce --data set --models bicubic --lr mine",
        "torch or original",
    ),
    "nothing of it, reproduce": ("reproduce --data set --models bicubic --every 0", "--every"),
    "no notebooks": ("course --notebooks empty", "no notebooks"),
    "no such command": ("upscal photo.png out.png", "upscal"),
    "missing option": ("evaluate --data set5", "--model"),
    "missing argument": ("degrade photo.png", "OUT"),
    "unknown option": ("degrade photo.png out.png --sigma 3", "--sigma"),
    "option without its value": ("doctor --json", "--json"),
}


@pytest.mark.parametrize(("command", "words"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str, words: str
) -> None:
    before = tree(folder)
    code = hatlib(command)
    out, err = capfd.readouterr()
    assert code == 2
    (line,) = [line for line in err.splitlines() if not line.startswith("[")]  # [1/3]: progress
    assert line.startswith("hatlib: ") and words in line
    assert out == ""
    assert tree(folder) == before  # nothing half-written, nothing left behind, no original touched


def test_no_network(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HATLIB_MIRROR", raising=False)
    monkeypatch.setenv("HATLIB_DATA", str(folder / "data"))
    for name in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    before = tree(folder)
    for command in ("fetch set5", "evaluate --model bicubic --data set5", "fetch hat-x4-imagenet"):
        code = hatlib(command)
        out, err = capfd.readouterr()
        assert (code, out) == (2, "")
        assert err.count("\n") == 1 and "no connection" in err
    assert tree(folder) == before


@pytest.mark.parametrize(
    "command",
    [
        "upscale text.png out.png --model bicubic",
        "degrade photo.png out.png --scale x",
        "evaluate --model bicubic --data sett5",
    ],
)
def test_bad_input_in_a_process_of_its_own(folder: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatlib", *command.split()],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_errors_of_the_system_are_one_line_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "table.json")

    monkeypatch.setattr("hatlib.system.console.json_text", full)
    assert app.main(["datasets", "--json", str(folder / "t.json")]) == 2
    assert capfd.readouterr().err.endswith("No space left on device\n")
    assert not (folder / "t.json").exists()


def test_a_mistake_of_ours_is_not_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr("hatlib.system.console.json_text", wrong)
    with pytest.raises(KeyError):
        hatlib("datasets --json t.json")


# ---- what works ----------------------------------------------------------------------------------


def test_degrade_is_the_library(folder: Path) -> None:
    assert hatlib("degrade photo.png plain.png --scale 2") == 0
    np.testing.assert_array_equal(io.load_image("plain.png"), imresize(PHOTO, 1 / 2))
    assert hatlib("degrade photo.png noisy.png --blur-sigma 1.5 --noise-sigma 8 --seed 3") == 0
    expected = degradation.degrade(PHOTO, degradation.gaussian_kernel(1.5), 4, 8.0, 3)
    np.testing.assert_array_equal(io.load_image("noisy.png"), expected)
    assert hatlib("degrade photo.png real.png --real-world --seed 3") == 0
    np.testing.assert_array_equal(io.load_image("real.png"), real_world.real_world(PHOTO, 4, 3)[0])


def test_upscale_a_file_and_into_a_folder(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert hatlib("upscale photo.png large.png --model bicubic --scale 3 --tile 16") == 0
    assert "60×40 → 180×120" in capfd.readouterr().out
    np.testing.assert_array_equal(io.load_image("large.png"), enlarged(PHOTO, 3))
    assert hatlib("upscale photo.png empty --model nearest") == 0
    assert io.load_image("empty/photo.png").shape == (160, 240, 3)


def test_upscale_one_pixel(folder: Path) -> None:
    assert hatlib("upscale one.png out.png --model bicubic") == 0
    np.testing.assert_array_equal(
        io.load_image("out.png"), np.broadcast_to(PHOTO[:1, :1], (4, 4, 3))
    )


def test_upscale_keeps_what_a_file_holds(folder: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (2, 30, 40), dtype=np.uint16)
    gray = user_files.Picture(wide[0], wide[1], b"a colour profile")
    user_files.write_picture("gray.png", gray)
    for model in ("bicubic", "swin.safetensors"):
        assert hatlib(f"upscale gray.png large.png --model {model}") == 0
        large = user_files.read_picture("large.png")
        assert large.pixels.dtype == np.uint16 and large.pixels.shape == (120, 160)
        assert (
            large.alpha is not None
            and large.alpha.dtype == np.uint16
            and large.alpha.shape == (120, 160)
        )
        assert large.profile == gray.profile
        assert len(np.unique(large.pixels)) > 5000  # not 256 levels, spread


def test_upscale_a_strip_in_tiles_with_the_ensemble(folder: Path) -> None:
    io.save_image("strip.png", np.tile(PHOTO[:3], (1, 84, 1))[:, :5000])
    assert (
        hatlib("upscale strip.png large.png --model swin.safetensors --tile 512 --precision fp32")
        == 0
    )
    assert io.load_image("large.png").shape == (12, 20000, 3)
    assert (
        hatlib("upscale photo.png eight.png --model swin.safetensors --precision fp32 --ensemble")
        == 0
    )
    expected = upscale.upscale(
        files.load("swin.safetensors"), PHOTO, precision="fp32", ensemble=True
    )
    np.testing.assert_array_equal(io.load_image("eight.png"), expected)


def test_one_channel_stays_one_channel(folder: Path) -> None:
    io.save_image("gray.png", PHOTO[..., 0])
    assert hatlib("upscale gray.png large.png --model bicubic") == 0
    assert io.load_image("large.png", gray="keep").shape == (160, 240)


def test_a_models_scale_and_the_one_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.save(models.create("srcnn", 2), folder / "w.safetensors", "srcnn")
    assert hatlib("upscale photo.png two.png --model w.safetensors") == 0
    assert io.load_image("two.png").shape == (80, 120, 3)
    with pytest.raises(HatlibError, match="upscales ×2, and --scale asks for 4"):
        options.load_model("w.safetensors", 4)


def test_evaluate(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "set" / "broken.png").unlink()
    assert (
        hatlib("evaluate --model bicubic --data set --json t.json --save-images sr --scale 2") == 0
    )
    out = capfd.readouterr().out
    assert "×2; LR MATLAB bicubic, uint8" in out and "mean of 2" in out and "reported" not in out
    table = json.loads((folder / "t.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in table["images"]] == ["a", "b"]
    assert f"{table['mean']['psnr']:.2f}" in out
    np.testing.assert_array_equal(io.load_image("sr/a.png"), enlarged(imresize(PHOTO, 1 / 2), 2))


def test_evaluate_next_to_the_reported_value(
    needs_data: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    needs_data("set5")
    assert hatlib("evaluate --model bicubic --data set5 --scale 4") == 0
    out = capfd.readouterr().out
    assert "reported: 28.42 dB, 0.8104 (difference +0.01 dB" in out
    assert hatlib("evaluate --model bicubic --data set5 --limit 1") == 0
    assert "reported:" not in capfd.readouterr().out  # a part of a set is not the set


def test_identical_images_are_valid_json(folder: Path) -> None:
    io.save_image(folder / "empty" / "flat.png", np.full((40, 40, 3), 90, np.uint8))
    assert hatlib("evaluate --model nearest --data empty --scale 2 --json t.json") == 0
    text = (folder / "t.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["images"][0]["psnr"] is None  # infinite


def test_datasets_and_doctor(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATLIB_DATA", str(folder / "data"))
    assert hatlib("datasets --json d.json") == 0
    rows = json.loads((folder / "d.json").read_text(encoding="utf-8"))
    assert {"set5", "urban100"} <= {row["name"] for row in rows}
    assert "urban100" in capfd.readouterr().out
    assert hatlib("doctor --json h.json") == 0
    out = capfd.readouterr().out
    assert out.rstrip().endswith("all is well")
    assert "megapixels takes up to" in out
    assert json.loads((folder / "h.json").read_text(encoding="utf-8"))["data sets"].startswith(
        "set5 0/5"
    )
    assert not (folder / "data").exists()  # looking changes nothing


def test_doctor_names_what_is_wrong(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATLIB_DATA", str(folder / "text.png" / "data"))
    monkeypatch.setenv("HATLIB_PROFILE", "fast")
    monkeypatch.setattr(
        "hatlib.system.machine.NOTEBOOK_PACKAGES", ("nbclient", "a_package_nobody_has")
    )
    assert app.main(["doctor"]) == 1
    last = capfd.readouterr().out.strip().splitlines()[-1]
    for words in (
        "HATLIB_PROFILE is 'fast'",
        "set HATLIB_DATA",
        'a_package_nobody_has missing: pip install "hatlib-sr[n',
    ):
        assert words in last


def test_fetch_builtin_needs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.main(["fetch", "builtin"]) == 0
    assert capfd.readouterr().out == "builtin: needs no download\n"


def test_version_and_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--version"]) == 0
    assert capfd.readouterr().out == f"hatlib {__version__}\n"
    for command in ([], ["--help"], *([name, "--help"] for name in COMMANDS)):
        assert app.main(command) == 0
        assert "Usage" in capfd.readouterr().out


COMMANDS = ("doctor", "datasets", "models", "fetch", "degrade", "upscale", "evaluate", "course")


def test_help_is_light() -> None:
    code = (
        "import sys; from hatlib.cli import main; main(['--help']); "
        "print([name for name in HEAVY if name in sys.modules])"
    )
    heavy = (
        "('torch', 'numpy', 'pandas', 'matplotlib', 'skimage', 'pooch', 'nbclient', 'ipywidgets')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.replace("HEAVY", heavy)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)


# ---- Ctrl-C --------------------------------------------------------------------------------------


@pytest.fixture
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A long `hatlib upscale` of a folder."""
    (folder / "many").mkdir()
    large = np.tile(PHOTO, (12, 8, 1))
    for k in range(40):
        io.save_image(folder / "many" / f"{k:02}.png", large)
    command = [sys.executable, "-m", "hatlib", "upscale", "many", "out", "--model", "bicubic"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no way to send one process a Ctrl-C"
)
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_leaves_whole_files_only(
    folder: Path, running: subprocess.Popen[str], name: str, code: int
) -> None:
    deadline = time.monotonic() + 60
    while not (folder / "out" / "00.png").exists():
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    running.send_signal(getattr(signal, name))
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (code, "")
    assert err.endswith("hatlib: interrupted\n") and "Traceback" not in err
    written = sorted(path.name for path in (folder / "out").iterdir())
    assert written.pop(0) == results.RECORD
    assert 1 <= len(written) < 40 and all(name[0] != "." for name in written)
    for name in written:
        assert io.load_image(folder / "out" / name).shape == (1920, 1920, 3)


def test_lam_draws_a_figure_and_says_the_index(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hatlib("lam photo.png lam.png --model swin.safetensors --window 16 24 16 --steps 2") == 0
    out, err = capfd.readouterr()
    assert out.startswith("lam.png: diffusion index ") and err == ""
    height, width, _ = io.load_image(folder / "lam.png").shape
    assert width == 900 and height > 600


def test_lam_of_a_flat_image_says_so(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    io.save_image(folder / "flat.png", np.full((9, 12, 3), 77, np.uint8))
    assert hatlib("lam flat.png lam.svg --model bicubic --window 8 8 8") == 0
    assert "LR is flat" in capfd.readouterr().out
    assert (folder / "lam.svg").is_file()


# --- reproduction ---------------------------------------------------------------------------------


def test_reproduce_says_what_is_left_and_how_to_go_on(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hatlib.evaluation import protocol

    (folder / "set" / "broken.png").unlink()
    command, calls, evaluate = (
        "reproduce --models srcnn-x4 --data set --out out",
        [],
        protocol.evaluate,
    )

    def stops(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(protocol, "evaluate", stops)
    assert hatlib(command) == 130
    out, err = capfd.readouterr()
    assert out == (
        "set: 2 of 2 images to measure\n"
        "interrupted; out keeps what was measured, and the same command resumes\n"
    )
    assert err == "[1/2] set\nhatlib: interrupted\n"
    assert hatlib(command) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[:2] == ["set: 1 of 2 images to measure", "set: 2 images"]
    heads = " ".join(" ".join(lines[2:5]).split())
    assert (
        "network PSNR dB SSIM gain over bicubic dB seconds an image" in heads
        and "papers" not in heads
    )
    assert [line.split()[0] for line in lines if re.match(r"(bicubic|srcnn)", line.strip())] == [
        "bicubic",
        "srcnn-x4",
    ]
    assert lines[-2].startswith("×4; LR MATLAB bicubic") and lines[-1].endswith(
        "strips and this table: out"
    )


# --- training -------------------------------------------------------------------------------------


def test_train_keeps_a_run_resumes_it_and_leaves_weights_that_load(folder, capsys):
    command = "train srcnn-x4 --out run --set steps=4 patch_size=8 batch_size=2 data=set2"
    assert hatlib(command) == 0
    assert "4 steps" in capsys.readouterr().out
    before = tree(folder)
    assert hatlib(command) == 2 and "--resume resumes it" in capsys.readouterr().err
    assert tree(folder) == before
    assert hatlib(command.replace("steps=4", "steps=4 loss=l1") + " --resume") == 2
    assert "another recipe (loss 'mse', now 'l1')" in capsys.readouterr().err
    card = files.card(folder / "run" / "srcnn-x4.safetensors")
    assert card["training"]["steps"] == 4 and card["training"]["recipe"]["batch_size"] == 2
    assert hatlib("upscale photo.png out.png --model run/srcnn-x4.safetensors") == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), ("SIGHUP", 129)]
)
def test_train_says_how_to_resume_after_a_signal(folder, capsys, monkeypatch, number, code):
    from hatlib.training import callbacks

    if isinstance(number, str) and not hasattr(signal, number):
        pytest.skip(f"this system has no {number}")
    number = getattr(signal, number) if isinstance(number, str) else number
    measure = callbacks.Validation.__call__

    def measure_and_interrupt(validation, run):
        measure(validation, run)
        if run.step == 2:
            signal.raise_signal(number)

    monkeypatch.setattr(callbacks.Validation, "__call__", measure_and_interrupt)
    before = signal.getsignal(number)
    command = "train srcnn-x4 --out run --set steps=4 patch_size=8 batch_size=2 data=set2"
    command += " --validate set2"
    assert hatlib(command) == code
    assert signal.getsignal(number) is before
    output = capsys.readouterr()
    assert "interrupted; run keeps the run, and --resume resumes it" in output.out
    assert "step 1 of 4: loss" in output.err and "PSNR on set2" in output.err  # when measured
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert hatlib(command + " --resume") == 0
    resumed = capsys.readouterr().out
    assert all(f"step {step}: " in resumed for step in (1, 2, 3, 4))  # the whole curve
