"""What every notebook has, checked without running it."""

from __future__ import annotations

import ast
import builtins
import json
import re
import symtable
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hatlib.version import __version__
from tests.helpers import ROOT

RELEASE = f"v{__version__}"  # its tag: `python .ci/version.py` writes it into the notebooks
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TAGS = {
    "nbval-check-output",
    "nbval-ignore-output",
    "nbval-skip",
    "nbval-raises-exception",
    "raises-exception",
}
LIMIT = 1_500_000  # bytes of a stored notebook
WIDTH = (
    100  # characters of a line that JupyterLab shows on a small laptop, beside its list of files
)
QUOTED = "class SurveyHAB"  # the one listing that stands as it was printed elsewhere

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@cache
def notebook(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in notebook(path)["cells"] if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def outputs(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """(which cell, output) for every stored output."""
    return [
        (f"{path.stem} [{cell['execution_count']}]", output)
        for cell in cells(path, "code")
        for output in cell["outputs"]
    ]


def text_of(output: dict[str, Any]) -> str:
    """The readable part of an output: what was printed, text/plain, text/html."""
    data = output.get("data", {})
    parts = [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return "\n".join("".join(part) for part in parts)


def prose(path: Path) -> str:
    """All Markdown without its code."""
    text = "\n\n".join(source(cell) for cell in cells(path, "markdown"))
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def repository() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["urls"]["Homepage"])


def test_there_are_notebooks_in_reading_order() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{k:02}_" for k in range(len(NOTEBOOKS))]
    assert len(NOTEBOOKS) >= 4


# ---- the head ------------------------------------------------------------------------------------


@each_notebook
def test_title_and_badge(path: Path) -> None:
    first = notebook(path)["cells"][0]
    assert first["cell_type"] == "markdown" and source(first).startswith("# ")
    here = repository().removeprefix("https://")
    colab = "https://colab.research.google.com"
    address = f"{colab}/{here.replace('.com', '')}/blob/{RELEASE}/notebooks/{path.name}"
    assert f"]({colab}/assets/colab-badge.svg)]({address})" in source(first)


@each_notebook
def test_head_says_what_it_takes(path: Path) -> None:
    head = source(notebook(path)["cells"][0]).lower()
    for words in ("you will", "minute|second", "cpu", "gpu"):
        assert re.search(words, head), f"the head of {path.name} does not say '{words}'"


@each_notebook
def test_first_code_cell_is_the_same_everywhere(path: Path) -> None:
    first = source(cells(path, "code")[0])
    assert first == source(cells(NOTEBOOKS[0], "code")[0])
    assert len(first.splitlines()) <= 12
    # on Colab: this release of this repository, nothing else
    assert re.findall(r"git\+(https://[^\"']+)", first) == [f"{repository()}@{RELEASE}"]
    assert first.rstrip().endswith("hatlib.hello()")


@each_notebook
def test_second_code_cell_is_the_imports(path: Path) -> None:
    tree = ast.parse(source(cells(path, "code")[1]))
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)


# ---- what is stored ------------------------------------------------------------------------------


@each_notebook
def test_metadata_is_clean(path: Path) -> None:
    metadata = notebook(path)["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert "widgets" not in metadata, "widget state is stored; `make notebooks` leaves it out"
    for cell in notebook(path)["cells"]:
        assert cell["metadata"].keys() <= {"tags", "jupyter"}, source(cell)[:60]
        assert set(cell["metadata"].get("tags", [])) <= TAGS, source(cell)[:60]


@each_notebook
def test_ran_from_top_to_bottom(path: Path) -> None:
    ran = [cell["execution_count"] for cell in cells(path, "code") if source(cell).strip()]
    assert ran == list(range(1, len(ran) + 1)), "not stored by `make notebooks`"


@each_notebook
def test_stored_outputs_are_fit_to_be_seen(path: Path) -> None:
    for where, output in outputs(path):
        assert output["output_type"] != "error", where
        assert output.get("name") != "stderr", f"{where}: {text_of(output)[:200]}"
        assert not any(
            "widget" in kind or "javascript" in kind for kind in output.get("data", {})
        ), where


@each_notebook
def test_stored_outputs_name_no_folder_of_a_machine(path: Path) -> None:
    for where, output in outputs(path):
        found = re.search(r"/home/|/root/|/Users/|/tmp/|\\Users\\|site-packages", text_of(output))
        assert not found and str(ROOT) not in text_of(output), where


@each_notebook
def test_checked_outputs_can_be_compared(path: Path) -> None:
    for cell in cells(path, "code"):
        if "nbval-check-output" in cell["metadata"].get("tags", []):
            kinds = {kind for output in cell["outputs"] for kind in output.get("data", {})}
            assert cell["outputs"] and not any(kind.startswith("image/") for kind in kinds), source(
                cell
            )[:60]
            assert not re.search(
                r"\bat 0x[0-9a-f]+", "".join(text_of(output) for output in cell["outputs"])
            )


@each_notebook
def test_explorers_are_not_compared(path: Path) -> None:
    for cell in cells(path, "code"):
        if re.search(r"^widgets\.", source(cell), re.MULTILINE):
            assert "nbval-ignore-output" in cell["metadata"].get("tags", []), source(cell)[:60]


@each_notebook
def test_lines_are_not_cut_off(path: Path) -> None:
    code = [source(cell) for cell in cells(path, "code") if QUOTED not in source(cell)]
    printed = [text_of(output) for _, output in outputs(path) if output["output_type"] == "stream"]
    long = [line for text in code + printed for line in text.splitlines() if len(line) > WIDTH]
    assert not long, f"{path.name}: {long}"


@each_notebook
def test_size(path: Path) -> None:
    assert path.stat().st_size <= LIMIT, f"{path.name} has {path.stat().st_size / 1e6:.2f} MB"


# ---- the text ------------------------------------------------------------------------------------


@each_notebook
def test_links_lead_somewhere(path: Path) -> None:
    text = prose(path)
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", text) + re.findall(
        r"(?:href|src)=[\"']([^\"']+)", text
    )
    for target in targets:
        if not re.match(r"https?:|mailto:|#|attachment:|data:", target):
            file = path.parent / target.split("#")[0]
            assert file.exists(), f"{path.name} links to {target}, which does not exist"


@each_notebook
def test_formulas_can_be_shown_without_network(path: Path) -> None:
    pytest.importorskip("latex2mathml", reason="formulas on pages need the extra `notebooks`")
    from hatlib.course import site

    found = re.findall(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)(?<!\\)\$", prose(path), re.DOTALL)
    for block, inline in found:
        shown = site.mathml(block or inline)
        left = re.sub(r"<[^>]*>", "", shown)
        assert shown.startswith("<math") and "\\" not in left, f"{path.name}: {block or inline}"


# ---- exercises -----------------------------------------------------------------------------------


@each_notebook
def test_exercises_are_complete(path: Path) -> None:
    number = path.name[:2]
    heads = [
        k
        for k, cell in enumerate(notebook(path)["cells"])
        if re.search(r"^#+ *Exercise", source(cell), re.M)
    ]
    assert len(heads) >= 4, f"{path.name} has {len(heads)} exercises"
    for order, k in enumerate(heads, start=1):
        head, stub, answer = notebook(path)["cells"][k : k + 3]
        id = f"{number}.{order}"
        where = f"exercise {id}"
        assert re.search(rf"^### Exercise {id} · \S", source(head), re.M), where
        assert re.search(r"^(?=.{5} )●{1,5}○{0,4} · \d+ min", source(head), re.M), (
            f"{where}: difficulty, minutes"
        )
        check_stub(stub, id)
        check_answer(answer, stub_name(stub, id), where)


def stub_name(stub: dict[str, Any], id: str) -> str:
    found = re.search(rf'^exercises\.check\("{re.escape(id)}", (\w+)\)\s*$', source(stub), re.M)
    assert found, f"exercise {id}: the cell does not end with its check"
    return found[1]


def check_stub(stub: dict[str, Any], id: str) -> None:
    """A typed function with a docstring, still to be written, and its check below it."""
    assert stub["cell_type"] == "code", f"exercise {id}: no code cell after the header"
    name = stub_name(stub, id)
    functions = {
        node.name: node
        for node in ast.parse(source(stub)).body
        if isinstance(node, ast.FunctionDef)
    }
    assert name in functions, (
        f"exercise {id}: the check takes {name}, which the cell does not define"
    )
    function = functions[name]
    assert ast.get_docstring(function), f"exercise {id}: no docstring"
    assert function.returns and all(a.annotation for a in function.args.args), (
        f"exercise {id}: no type hints"
    )
    assert "NotImplementedError" in ast.unparse(function.body[-1]), (
        f"exercise {id}: the stub is not a stub"
    )
    assert "not done yet" in "".join(text_of(output) for output in stub["outputs"]), (
        f"exercise {id}"
    )


def check_answer(answer: dict[str, Any], name: str, where: str) -> None:
    """A hint, then a solution that is a complete function, both folded away."""
    text = source(answer)
    assert answer["cell_type"] == "markdown", f"{where}: no hint and solution after the stub"
    assert re.findall(r"<details>\s*<summary>(.*?)</summary>", text) == ["Hint", "Solution"], where
    assert text.count("</details>") == 2, where
    defined = [
        node.name for node in ast.parse(solution(answer)).body if isinstance(node, ast.FunctionDef)
    ]
    assert name in defined, f"{where}: the solution does not define {name}"


def solution(answer: dict[str, Any]) -> str:
    """The code of the solution, or "" for a cell that has none."""
    code = re.search(
        r"<summary>Solution</summary>\s*```python\n(.*?)```", source(answer), re.DOTALL
    )
    return code[1] if code else ""


@each_notebook
def test_a_solution_runs_where_it_is_pasted(path: Path) -> None:
    """It uses no name that the cells above it do not have."""
    above = ""
    for cell in notebook(path)["cells"]:
        if cell["cell_type"] == "code":
            above += source(cell) + "\n"
        elif code := solution(cell):
            known = {
                s.get_name()
                for s in symtable.symtable(above, path.name, "exec").get_symbols()
                if s.is_assigned() or s.is_imported() or s.is_namespace()
            }
            assert unknown_names(code) <= known, (
                f"{path.name}: {unknown_names(code) - known} in\n{code}"
            )


def unknown_names(code: str) -> set[str]:
    """Names that some code uses and neither makes itself nor finds in Python."""
    nodes = list(ast.walk(ast.parse(code)))
    made = {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    return used - made - set(dir(builtins))


def test_a_name_that_a_notebook_lacks_is_seen() -> None:
    assert unknown_names("def f(x: Gradient) -> int:\n    y = len(x)\n    return np.sum(y)") == {
        "Gradient",
        "np",
    }
