"""Whatever comes from outside: exit code 0, or 1 or 2 with a line that says why; no traceback, no
hang, no file changed that was not asked for, memory in bounds.

hypothesis mixes what is valid with what is not, the same examples in each run. Nothing here is
downloaded, and no example asks for work that would rightly be long (a million steps of training).
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import signal
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from hatlib import HatlibError, models
from hatlib.cli import app
from hatlib.cli.results import RECORD
from hatlib.imaging import reading
from hatlib.system import atomic
from hatlib.training import recipes
from hatlib.weights import files

# Of one example; a busy machine does not change them. What waits without computing, such as for a
# pipe, is ended by pytest's own limit.
CPU_SECONDS: float = 10
MAX_GROWTH = 1 << 30  # bytes of memory that one example may take beyond what was there
PHOTO = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
PEAK = Path("/proc/self/clear_refs")  # Linux alone tells the peak of a while

HUGE = "9" * 6000
LETTERS = string.printable.replace("/", "")  # nothing is to be written outside of the folder
ODD_TEXTS = [
    *("nan", "inf", "-inf", "1e309", "-1", "0", "1.5", "1e-320", "99999999999", HUGE, "٣"),
    *(" ", ",", "'", '"', "[", "[1]", "(", "((((", "{}", "None", "True", "--", "-", "=", "a=b"),
    *("~nosuchuser", "~nosuchuser/x", "..", "/dev/null", "\x1b[31m", "a\nb", "a\0b", "\udce9"),
    *("%s", "$HOME", "*", "*.png", "[bold]", "x" * 300, "夜" * 100, "photo.png/x", "nowhere/x"),
]
ODD_VALUES: list[Any] = [
    *(math.nan, math.inf, -math.inf, 1e308, 1e-320, -1, 0, -0.0, 1.5, 10**9, 2**63, 10**400),
    *(None, True, "", "8", "nan", "\x1b[31m", [], [0], [[1]], (), (0.9,), (1, 2, 3), {}, {"a": 1}),
    *(b"8", {1, 2}, 3j, object(), np.float32(2), np.int64(3), np.array([1, 2]), np.zeros((2, 2))),
]


# --- the invariant --------------------------------------------------------------------------------


class Late(BaseException):
    """An example took too long; no `except Exception` keeps it."""


def examples(count: int) -> Any:
    """A fixed number of examples, always the same ones."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@contextlib.contextmanager
def bounds() -> Iterator[None]:
    """Fails if the block takes too long, or too much memory."""
    before = _peak(reset=True)
    with _limited_time():
        yield
    growth = _peak() - before
    assert growth <= MAX_GROWTH, f"{growth:,} bytes of memory"


@contextlib.contextmanager
def _limited_time() -> Iterator[None]:
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return

    def stop(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak(reset: bool = False) -> int:
    """The most memory that this process has had, in bytes, since the last reset; 0 if unknown."""
    try:
        if reset:
            PEAK.write_text("5")
        status = PEAK.with_name("status").read_text()
    except OSError:
        return 0
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) * 1024


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def check_command(folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Runs a command in the folder, and takes away what it wrote; its exit code and stderr."""
    before = tree(folder.parent)
    out, err = io.StringIO(), io.StringIO()
    with bounds(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = app.main(arguments)
    said = [line for line in err.getvalue().split("\n") if not line.startswith("[")]  # progress
    after = tree(folder.parent)
    for name in set(after) - set(before):
        (folder.parent / name).unlink()
    assert code in (0, 1, 2), code
    assert {name: after.get(name) for name in before} == before, "a file was changed or lost"
    new = {Path(name).name for name in set(after) - set(before)}
    assert not any(name.startswith(atomic.PREFIX) and name != RECORD for name in new), new
    if code == 2:
        assert len(said) == 2 and said[0].startswith("hatlib: ") and not said[1], said
        assert len(said[0]) < 1500, "a line that long is not read"
        # reproduce writes each row as it is measured, so that it can resume
        assert arguments[0] == "reproduce" or not new - {RECORD}, new
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out.getvalue() + err.getvalue())
    return code, err.getvalue()


def check_error(error: HatlibError) -> None:
    """One line, and not the whole of a long value."""
    text = str(error)
    assert text and "\n" not in text and len(text) < 1500, text[:2000]


def test_the_bounds_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    if not PEAK.exists() or not os.access(PEAK, os.W_OK):
        pytest.skip("this system does not tell how much memory was taken")
    monkeypatch.setitem(globals(), "MAX_GROWTH", 1 << 20)
    with pytest.raises(AssertionError, match="bytes of memory"), bounds():
        np.ones(64 << 20, np.uint8)
    monkeypatch.setitem(globals(), "CPU_SECONDS", 0.1)
    with pytest.raises(Late), bounds():
        while True:
            pass


# --- what is in the folder ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder: an image, weights, a text, sets of images, one of them with damage."""
    place = tmp_path_factory.mktemp("fuzz") / "here"  # what is written to .. stays below
    place.mkdir()
    Image.fromarray(PHOTO).save(place / "photo.png")
    (place / "text.png").write_text("this is not a picture")
    files.save(models.create("srcnn", scale=2), place / "own.safetensors", "srcnn")
    for name in ("set", "damaged"):
        (place / name).mkdir()
        Image.fromarray(PHOTO).save(place / name / "a.png")
    (place / "damaged" / "b.png").write_bytes((place / "photo.png").read_bytes()[:300])
    (place / "empty").mkdir()
    (place / "nothing").touch()
    with contextlib.chdir(place):
        yield place


@pytest.fixture(scope="module")
def weights(folder: Path) -> dict[str, bytes]:
    """Weights in the forms that are read: suffix → content."""
    model = models.create("srcnn", scale=2)
    content = {".safetensors": (folder / "own.safetensors").read_bytes()}
    for suffix, is_zip in ((".pth", True), (".pt", False)):
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer, _use_new_zipfile_serialization=is_zip)
        content[suffix] = buffer.getvalue()
    return content


# Where in a file, as a share of its length: headers are at the beginning, and the directories of
# zip and TIFF at the end.
places = st.one_of(st.floats(0, 0.02), st.floats(0, 1), st.floats(0.95, 1))
damages = st.tuples(
    st.lists(st.tuples(places, st.integers(0, 7)), max_size=4),
    st.sampled_from(["", "cut", "zeros", "ones", "size", "double"]),
    places,
)


def damaged(content: bytes, damage: tuple[list[tuple[float, int]], str, float]) -> bytes:
    """A file with some bits flipped, and one thing more: cut, a part overwritten, doubled."""
    bits, how, where = damage
    changed = bytearray(content)
    last = len(content) - 1
    for place, bit in bits:
        changed[int(place * last)] ^= 1 << bit
    start = int(where * last)
    if how == "cut":
        return bytes(changed[:start])
    if how == "double":
        return bytes(changed) * 2
    part = {"zeros": bytes(30), "ones": b"\xff" * 30, "size": b"\xff\xff\xff\x7f"}.get(how, b"")
    changed[start : start + len(part)] = part
    return bytes(changed)


# --- command lines --------------------------------------------------------------------------------

INPUTS = ["photo.png", "set", "damaged", "empty", "text.png", "nothing", "own.safetensors", "."]
TARGETS = ["out.png", "out.jpg", "out.tif", "out.webp", "out", "set", "out.pdf", "nowhere/out.png"]
MODELS = ["bicubic", "nearest", "own.safetensors", "hat-s-x4", "srcnn"]
SCALES = ["2", "3", "4"]
# The first words of a command line, with what may stand for each of them; then its options.
GRAMMAR: dict[str, tuple[list[list[str]], dict[str, list[str]]]] = {
    "upscale": (
        [INPUTS, TARGETS],
        {
            "--model": MODELS,
            "--scale": SCALES,
            "--tile": ["0", "8", "64"],
            "--precision": ["auto", "fp32", "bf16", "fp16"],
        },
    ),
    "degrade": (
        [INPUTS, TARGETS],
        {
            "--scale": [*SCALES, "64"],
            "--blur-sigma": ["0", "1.5", "1000"],
            "--noise-sigma": ["0", "8", "1e300"],
            "--seed": ["0", "5", str(2**32), str(2**64)],
        },
    ),
    "lam": (
        [INPUTS, TARGETS],
        {"--model": ["bicubic"], "--steps": ["1", "2"], "--rule": ["right", "midpoint"]},
    ),
    "evaluate": (
        [],
        {
            "--model": MODELS,
            "--data": [*INPUTS, "set5", "builtin"],
            "--scale": SCALES,
            "--limit": ["1", "2"],
            "--save-images": ["out", "set", "photo.png"],
            "--lr": ["matlab", "original", "float", "pil", "torch"],
            "--gray": ["keep", "rgb", "auto"],
            "--json": ["out.json", "photo.png"],
        },
    ),
    "reproduce": (
        [],
        {
            "--models": ["bicubic", "nearest,bicubic"],
            "--data": ["set", "damaged,set", "set5"],
            "--every": ["1", "5"],
            "--out": ["out", "set"],
            "--precision": ["fp32", "bf16"],
        },
    ),
    "train": (
        [["srcnn-x4", "hat-nano-x4", "srcnn-x2"], ["steps=no"]],  # never a run
        {
            "--set": ["steps=1", "data=set", "seed=5"],
            "--out": ["out", "set"],
            "--validate": ["set"],
        },
    ),
    "export": ([MODELS, ["out.pth", "out.safetensors"]], {"--layout": ["original"]}),
    "fetch": ([["set5", "hat-s-x4", "builtin"]], {}),
    "datasets": ([], {"--json": ["out.json", "photo.png", "set"]}),
    # never a run of all notebooks
    "course": ([], {"--notebooks": ["set", "empty"], "--student": ["out"], "--only": ["01"]}),
}
FLAGS = ["--overwrite", "--ensemble", "--real-world", "--help", "--nosuch", "--version"]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command as it is typed, with at most two odd words, and perhaps an option too many."""
    name = draw(st.sampled_from(sorted(GRAMMAR)))
    places, options = GRAMMAR[name]
    line = [draw(st.sampled_from(choices)) for choices in places]
    required = {"--model", "--data", "--models", "--notebooks", "--student", "--layout"}
    for option, choices in options.items():
        if option in required or draw(st.integers(0, 3)) == 0:
            line += [option, draw(st.sampled_from(choices))]
    if name == "lam":
        window = [draw(st.sampled_from(["0", "3", "16", *ODD_TEXTS])) for _ in range(3)]
        line += ["--window", *window]
    if draw(st.integers(0, 3)) == 0:
        line.append(draw(st.sampled_from(FLAGS[1:])))  # --overwrite may replace what is there
    odd = st.one_of(
        st.sampled_from(ODD_TEXTS), st.text(LETTERS, max_size=12), st.integers().map(str)
    )
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, max(0, len(line) - 1)))
        # the word after --notebooks stays: without it the whole course would run
        if line and line[place - 1 : place] != ["--notebooks"] and line[place][:2] != "--":
            line[place] = draw(odd)
    return [name, *line]


@examples(100)
@given(arguments=command_lines())
def test_command_lines(folder: Path, arguments: list[str]) -> None:
    check_command(folder, arguments)


# --- recipes --------------------------------------------------------------------------------------

FIELDS: dict[str, list[Any]] = {
    "model": ["srcnn", "hat-nano", "rcan-nano", "bicubic"],
    "options": [{}, {"kernels": (9, 1, 5)}, {"window_size": 4}],
    **{name: [1, 8, 64] for name in ("scale", "patch_size", "batch_size", "steps", "seed")},
    **{name: [0, 0.5, 0.9] for name in ("learning_rate", "cooldown", "ema_decay", "max_grad_norm")},
    "data": ["set", ("set", "empty"), []],
    "betas": [(0.9, 0.99), [0, 0]],
    "milestones": [(), (1, 2), 5],
    "warmup_steps": [0, 10**9],
    **{name: ["l1", "cosine", "fp32"] for name in ("loss", "schedule", "precision")},
    "ema_warmup": [True, False],
}
OPTIONS = ["kernels", "channels", "window_size", "num_heads", "embed_dim", "depths", "mlp_ratio"]
odd_values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(ODD_VALUES), st.floats(), st.integers(), st.text(max_size=5), st.binary()
)
odd_options: st.SearchStrategy[Any] = st.dictionaries(
    st.one_of(st.sampled_from(OPTIONS), st.text(max_size=4)), odd_values, max_size=3
)


@st.composite
def recipe_fields(draw: st.DrawFn) -> dict[str, Any]:
    """Some fields of a recipe, most of them possible."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True, max_size=4))
    fields = {name: draw(st.sampled_from(FIELDS[name])) for name in names}
    if draw(st.booleans()) and names:
        fields[names[0]] = draw(odd_options if names[0] == "options" else odd_values)
    return fields


def check_recipe(made: recipes.Recipe) -> None:
    """What can be made can be trained with: all that it says of its first and last step is
    finite."""
    for step in (0, made.steps - 1):
        assert 0 <= made.learning_rate_at(step) < math.inf
        assert 0 <= made.ema_decay_at(step) < 1
    assert recipes.from_json(json.loads(json.dumps(vars(made)))) is not None


@examples(300)
@given(fields=recipe_fields())
def test_recipes(fields: dict[str, Any]) -> None:
    with bounds():
        try:
            made = recipes.recipe("srcnn-x4", **fields)
        except HatlibError as error:
            check_error(error)
        else:
            check_recipe(made)


@examples(200)
@given(
    name=st.sampled_from([*sorted(FIELDS), "", "nosuch", "model."]),
    value=st.one_of(st.sampled_from(ODD_TEXTS), st.text(LETTERS, max_size=12)),
)
@example(name="loss", value="a\nb")
@example(name="loss", value="\udce9")  # half a pair of surrogates
def test_settings_as_they_are_typed(name: str, value: str) -> None:
    with bounds():
        try:
            made = recipes.recipe("srcnn-x4", **recipes.settings([f"{name}={value}"]))
        except HatlibError as error:
            check_error(error)
        else:
            check_recipe(made)


# --- weights --------------------------------------------------------------------------------------


def check_weights(path: Path) -> None:
    """A file of weights gives a network of finite numbers, or one line."""
    with bounds(), contextlib.redirect_stderr(io.StringIO()):
        try:
            network = files.load(path)
        except HatlibError as error:
            check_error(error)
            return
        assert all(value.isfinite().all() for value in network.state_dict().values())


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@st.composite
def cards(draw: st.DrawFn) -> str:
    """The text of a card, with one thing that is odd; or no card at all."""
    card: dict[str, Any] = {"model": "srcnn", "scale": 2, "options": {}, "training": None}
    where = draw(st.sampled_from(["model", "scale", "option", "option", "options", "all", "more"]))
    if where == "all":
        return draw(st.one_of(json_values.map(json.dumps), st.text(), st.just("[" * 100_000)))
    if where == "option":
        card["model"] = draw(st.sampled_from(["srcnn", "hat-nano", "swinir-nano", "rcan-nano"]))
        values = st.one_of(json_values, st.sampled_from([[10**7], [1] * 99, 10**7, 0, 1e308]))
        card["options"] = {draw(st.sampled_from(OPTIONS)): draw(values)}
    elif where == "model":
        card["model"] = draw(st.one_of(json_values, st.sampled_from([*models.names(), "x" * 9999])))
    elif where == "more":
        card[draw(st.text(max_size=5))] = draw(json_values)
    else:
        card[where] = draw(json_values)
    return json.dumps(card)


@examples(150)
@given(card=cards())
def test_cards(folder: Path, tmp_path_factory: pytest.TempPathFactory, card: str) -> None:
    with safe_open(folder / "own.safetensors", framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    path = tmp_path_factory.getbasetemp() / "card.safetensors"
    try:
        save_file(tensors, path, metadata={"hatlib": card})
    except UnicodeEncodeError:  # half a pair of surrogates: no file holds it
        return
    check_weights(path)


@examples(200)
@given(data=st.data(), suffix=st.sampled_from([".safetensors", ".pth", ".pt"]))
def test_damaged_weights(
    weights: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    suffix: str,
) -> None:
    content = damaged(weights[suffix], data.draw(damages))
    name = data.draw(st.sampled_from([suffix, suffix, *weights]))
    path = tmp_path_factory.getbasetemp() / f"damaged{name}"
    path.write_bytes(content)
    check_weights(path)


DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.complex64]
SHAPES = [(), (0,), (1,), (3, 3), (64, 3, 9, 9), (48, 64, 0, 5), (1,) * 7]


@examples(100)
@given(data=st.data())
def test_tensors_of_others(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    state: dict[str, Any] = dict(models.create("srcnn", scale=2).state_dict())
    for key in data.draw(
        st.lists(st.sampled_from(sorted(state)), min_size=1, max_size=2, unique=True)
    ):
        shape = data.draw(st.sampled_from([tuple(state[key].shape), *SHAPES]))
        dtype = data.draw(st.sampled_from(DTYPES))
        tensor = torch.zeros(shape, dtype=dtype)
        others = [tensor, torch.full(shape, math.nan), 5, None, "text", [tensor], {key: tensor}]
        if tensor.ndim and tensor.numel() and dtype is torch.float64:
            others += [tensor.to_sparse(), tensor.to("meta")]
        other = data.draw(st.sampled_from(others))
        names = st.sampled_from([key, key, f"module.{key}", "\x1b[31m", f"{key}.9999999.weight"])
        del state[key]
        state[data.draw(names)] = other
    path = tmp_path_factory.getbasetemp() / "others.pth"
    torch.save(state, path)
    check_weights(path)


# --- images ---------------------------------------------------------------------------------------

ENCODINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("RGB", {}),
    "png, palette": ("P", {"format": "png"}),
    "png, 16 bits": ("I;16", {"format": "png"}),
    "jpeg": ("RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"}),
    "jpeg, cmyk": ("CMYK", {"format": "jpeg"}),
    "tiff": ("RGB", {}),
    "tiff, packed": ("RGBA", {"format": "tiff", "compression": "tiff_lzw"}),
    "tiff, 16 bits": ("I;16", {"format": "tiff"}),
    "webp": ("RGBA", {"lossless": True}),
    "bmp": ("RGB", {}),
    "gif": ("P", {}),
    "ppm": ("RGB", {}),
}


def encoded(kind: str) -> bytes:
    """The photo in a format."""
    mode, options = ENCODINGS[kind]
    deep = Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257)
    picture = deep if mode == "I;16" else Image.fromarray(PHOTO).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, **{"format": kind, **options})
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@examples(300)
@given(data=st.data(), kind=st.sampled_from(sorted(ENCODINGS)))
def test_damaged_images(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    suffix = data.draw(st.sampled_from([kind.partition(",")[0], "png", "tif", "jpg"]))
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    path.write_bytes(damaged(encoded(kind), data.draw(damages)))
    with bounds():
        try:
            picture = reading.read_picture(path)
        except HatlibError as error:
            check_error(error)
            return
    assert picture.pixels.dtype in (np.uint8, np.uint16)
    assert picture.pixels.ndim in (2, 3) and picture.pixels.size
    assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]


@examples(40)
@given(data=st.data(), kind=st.sampled_from(sorted(ENCODINGS)), command=st.booleans())
def test_damaged_images_in_a_folder(
    folder: Path, data: st.DataObject, kind: str, command: bool
) -> None:
    """The others are done, and the damaged one is done or named."""
    path = folder / "set" / "fuzzed.png"
    path.write_bytes(damaged(encoded(kind), data.draw(damages)))
    line = ["upscale", "set", "out", "--model", "nearest"] if command else ["degrade", "set", "out"]
    try:
        code, said = check_command(folder, line)
    finally:
        path.unlink()
    assert code == 0 or (code == 1 and "fuzzed.png left out" in said)
