"""The course of somebody who has solved every exercise: the answers go on, and all is equal.

That the notebooks run with nothing solved is shown by nbval. Here each stub is replaced by its
solution, and what depends on the answers is run: the statements that use them, and those before
that these need.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hatlib.course import exercises
from hatlib.course.exercises import answers
from tests.helpers import ROOT

NOTEBOOKS = ROOT / "notebooks"
# What a statement does, if it is one of these: the answers are handed out, put in, compared.
USES = re.compile(r"exercises\.(answer|same_picture|check)\(")
SAYS = re.compile(
    r"^(print|assert|for)\b.*(equal to|equals hatlib|same (weights|gradient)|as yours|allclose)",
    re.DOTALL,
)
# Their functions change nothing that matters here.
MODULES = {"torch", "np", "pd", "F", "nn", "plotting", "hatlib", "exercises", "widgets", "drawings"}


def path_of(number: str) -> Path:
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return path


def with_answers() -> list[str]:
    """Numbers of the notebooks that go on with an answer."""
    numbers = exercises.MODULES
    uses = re.compile(r"exercises\.(answer|same_picture)\(")
    return [n for n in numbers if uses.search(path_of(n).read_text(encoding="utf-8"))]


def solved(source: str) -> str:
    """A cell with the solution in the place of the stub."""
    found = re.search(r'^exercises\.check\("(.+?)", ', source, re.MULTILINE)
    if not found:
        return source
    item = exercises.get(found[1])
    tree = ast.parse(source)
    return "\n".join(
        item.source
        if isinstance(node, ast.FunctionDef) and node.name == item.name
        else ast.unparse(node)
        for node in tree.body
    )


def statements(path: Path) -> list[ast.stmt]:
    """The notebook's top-level statements, solved; the first cell is for Colab."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"][1:]
    return [node for source in sources for node in ast.parse(solved(source)).body]


LOCAL = ast.FunctionDef | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def loaded(node: ast.AST) -> set[str]:
    """Names that a piece of code uses and does not make in a scope of its own."""
    used = {node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else set()
    for part in ast.iter_child_nodes(node):
        used |= loaded(part)
    if isinstance(node, LOCAL):
        inside = list(ast.walk(node))
        used -= {x.id for x in inside if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
        used -= {x.arg for x in inside if isinstance(x, ast.arg)}
    if isinstance(node, ast.For):
        used -= stored(node.target)
    return used


def stored(node: ast.AST) -> set[str]:
    """Names that a statement gives a value."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.alias(name=name, asname=asname):
            return {asname or name.split(".")[0]}
        case ast.Name(id=id, ctx=ast.Store()):
            return {id}
    if isinstance(node, LOCAL):
        return set()
    return {name for part in ast.iter_child_nodes(node) for name in stored(part)}


def changed(node: ast.stmt) -> set[str]:
    """Names of objects that a statement changes: by a place in them, or by a method alone."""
    places = {
        part.value.id
        for part in ast.walk(node)
        if isinstance(part, ast.Subscript | ast.Attribute)
        and isinstance(part.ctx, ast.Store)
        and isinstance(part.value, ast.Name)
    }
    calls = {
        part.value.func.value.id
        for part in ast.walk(node)
        if isinstance(part, ast.Expr)
        and isinstance(part.value, ast.Call)
        and isinstance(part.value.func, ast.Attribute)
        and isinstance(part.value.func.value, ast.Name)
    }
    loads = {
        part.func.value.id
        for part in ast.walk(node)
        if isinstance(part, ast.Call)
        and isinstance(part.func, ast.Attribute)
        and part.func.attr == "load_state_dict"
        and isinstance(part.func.value, ast.Name)
    }
    return places | calls | loads


def comparisons(nodes: list[ast.stmt]) -> list[ast.stmt]:
    """Statements that say whether what was made of an answer is equal to hatlib's."""
    made: set[str] = set()
    found = []
    for node in nodes:
        text = ast.unparse(node)
        derived = bool(loaded(node) & made)
        if "exercises.answer(" in text or derived:
            made |= stored(node)
        if derived and SAYS.search(text):
            found.append(node)
    return found


def needed(nodes: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that use an answer or compare it, and all that they need, in order."""
    wanted: set[str] = set()
    chosen = []
    wished = comparisons(nodes)
    for node in reversed(nodes):
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        uses = node in wished or USES.search(ast.unparse(node))
        if imports or uses or (stored(node) | changed(node)) & wanted:
            chosen.append(node)
            # what may have a value from before is still looked for
            keeps = isinstance(node, ast.If | ast.Try | ast.For) or changed(node) & wanted
            wanted = wanted - (set() if keeps else stored(node)) | loaded(node)
            wanted -= MODULES
    return chosen[::-1]


@pytest.fixture(autouse=True)
def nothing_passed() -> Iterator[None]:
    answers._passed.clear()
    yield
    answers._passed.clear()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", with_answers())
def test_the_answers_of_a_solved_notebook_become_the_lesson(
    number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch's Timer imports setuptools, which refuses to follow a distutils of another test
    monkeypatch.setenv("SETUPTOOLS_USE_DISTUTILS", "stdlib")
    space: dict[str, Any] = {"__name__": "notebook"}
    text = io.StringIO()
    exec("import hatlib", space)
    with contextlib.redirect_stdout(text):
        for node in needed(statements(path_of(number))):
            code = compile(ast.Module([node], []), f"<{number}>", "exec")
            exec(code, space)
    printed = text.getvalue()
    own = [item for item in exercises.all_exercises() if item.id.startswith(number)]
    assert printed.count("✓") == len(own)
    assert "the course's own" not in printed and "not done yet" not in printed
    assert "another picture" not in printed
    assert not re.search(r"\b(equal|equals|same)\b.*False", printed)
    used = set(re.findall(r"^(\d\d\.\d): your \w+ is used", printed, re.MULTILINE))
    parts = {item.id for item in own if item.part is not None}
    assert used and parts <= used
    if parts:
        assert "upscaled with your network: the same picture" in printed


def test_every_part_of_a_network_goes_on_in_a_notebook() -> None:
    numbers = {item.id[:2] for item in exercises.all_exercises() if item.part}
    assert numbers <= set(with_answers())
