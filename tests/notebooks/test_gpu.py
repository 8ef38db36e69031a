"""What notebooks need to run well on a GPU, checked without one."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from hatlib.course import kernel
from tests.helpers import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WITHOUT_WEIGHTS = ("bicubic", "nearest")
# What ends on the CPU, so that a GPU is done when it returns. Of torch's and numpy's:
WAITS = {"item", "tolist", "cpu", "numpy", "synchronize"}
# of ours:
WAITS |= {"upscale", "upscale_with_bar", "evaluate", "fit", "lam"}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def called(node: ast.AST) -> str:
    """The name of what is called: "load_model" of hatlib.load_model(…), "" of other nodes."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def left_on_the_cpu(source: str) -> list[str]:
    """The calls of load_model whose network is not moved to the device at once."""
    tree = ast.parse(source)
    moved = {
        node.func.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and called(node) == "to"
    }
    loads = [node for node in ast.walk(tree) if called(node) == "load_model" and node not in moved]
    texts = [ast.unparse(node) for node in loads]
    return [text for text in texts if not any(f"'{name}'" in text for name in WITHOUT_WEIGHTS)]


def unsynchronised(source: str) -> str:
    """What is wrong with the timing in a cell: "" where nothing is, or where nothing is timed."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    clocks = [
        node.lineno for node in nodes if called(node) in ("perf_counter", "monotonic", "time")
    ]
    if clocks and not any(
        called(node) in WAITS and min(clocks) < node.lineno <= max(clocks) for node in nodes
    ):
        return "nothing between the two looks at the clock waits for the GPU"
    # processor time knows nothing of a GPU
    if any(called(node) == "process_time" for node in nodes) and "device" in source:
        return "processor time says nothing of a device"
    return ""


def cold(source: str) -> bool:
    """Whether a cell times a first call, in which a GPU also loads kernels and chooses among them:
    nothing of the kind is called before the clock, nor does an `if` leave out the first."""
    tree = ast.parse(source)
    clocks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) in ("perf_counter", "monotonic")
    ]
    choices = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    chosen = {id(node) for choice in choices for node in ast.walk(choice)}
    if not clocks or any(id(clock) in chosen for clock in clocks):
        return False
    first, last = min(c.lineno for c in clocks), max(c.lineno for c in clocks)
    # what a function would call is called when the function is, unless it holds the clock
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    uncalled = [f for f in functions if f.lineno < first and (f.end_lineno or 0) < first]
    inside = {id(node) for function in uncalled for node in ast.walk(function)}
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and id(n) not in inside]
    timed = {called(node) for node in nodes if first < node.lineno <= last}
    before = {called(node) for node in nodes if node.lineno < first}
    return not any(name.startswith(early) for name in timed for early in before - {""})


@each_notebook
def test_colab_is_asked_for_a_gpu(path: Path) -> None:
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    assert {key: metadata.get(key) for key in kernel.COLAB} == kernel.COLAB


@each_notebook
def test_loaded_networks_go_to_the_device(path: Path) -> None:
    assert [text for source in code(path) for text in left_on_the_cpu(source)] == []


@each_notebook
def test_timings_wait_for_the_gpu(path: Path) -> None:
    assert [source[:200] for source in code(path) if unsynchronised(source)] == []


@each_notebook
def test_no_first_call_is_timed(path: Path) -> None:
    assert [source[:200] for source in code(path) if cold(source)] == []


def test_what_is_left_on_the_cpu_is_seen() -> None:
    assert left_on_the_cpu('net = hatlib.load_model("a")\nnet.to(device)') == [
        "hatlib.load_model('a')"
    ]
    assert left_on_the_cpu('{"x": load_model("a"), "y": load_model("b").to(device)}') == [
        "load_model('a')"
    ]
    assert left_on_the_cpu('hatlib.load_model("bicubic")') == []


TIMED = "start = time.perf_counter()\n{}\nseconds = time.perf_counter() - start"


@pytest.mark.parametrize(
    "source, wrong",
    [
        (TIMED.format("sr = model(lr)"), True),
        (TIMED.format("sr = model(lr)\ntorch.cuda.synchronize()"), False),
        (TIMED.format("sr = hatlib.upscale(model, lr)"), False),
        (TIMED.format("sr = model(lr)") + "\nsr.cpu()", True),
        ("start = time.process_time()\nmodel(lr.to(device))", True),
        ("start = time.process_time()\nmodel(lr)", False),
        ("sr = model(lr)", False),
    ],
)
def test_a_timing_that_does_not_wait_is_seen(source: str, wrong: bool) -> None:
    assert bool(unsynchronised(source)) == wrong


ONCE = "upscale(model, lr)\n"
LEFT_OUT = """for turn in range(9):
    start = time.perf_counter()
    model(lr).sum().item()
    if turn:
        times.append(time.perf_counter() - start)"""


@pytest.mark.parametrize(
    "source, wrong",
    [
        (TIMED.format(ONCE), True),
        (ONCE + TIMED.format(ONCE), False),
        (ONCE + TIMED.format("upscale_with_bar(model, lr)"), False),
        ("load(model)\n" + TIMED.format(ONCE), True),
        ("def function():\n    upscale(model, lr)\n" + TIMED.format(ONCE), True),
        (LEFT_OUT, False),
        (LEFT_OUT.replace("if turn", "for _ in [0]"), True),
        (ONCE, False),
    ],
)
def test_a_first_call_that_is_timed_is_seen(source: str, wrong: bool) -> None:
    assert cold(source) == wrong
