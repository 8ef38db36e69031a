"""For teachers: the notebooks without solutions, or with them in place; what a class has passed.

`hatlib course --student`, `--instructor` and `--marks` are these functions.
"""

from __future__ import annotations

import ast
import csv
import io
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hatlib.course import exercises, kernel, progress
from hatlib.errors import HatlibError
from hatlib.system import console
from hatlib.system.atomic import atomic_path, check_target, write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

SOLUTION = re.compile(r"\s*<details>\s*<summary>Solution</summary>.*?</details>", re.DOTALL)
CHECK = re.compile(r'^exercises\.check\("([\d.]+)", ', re.MULTILINE)


def without_solutions(notebook: NotebookNode) -> int:
    """Takes the folded solutions out, in place; hints stay. Returns how many there were."""
    count = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source, removed = SOLUTION.subn("", cell.source)
            count += removed
    return count


def with_solutions(notebook: NotebookNode) -> int:
    """Puts solutions in the stubs' place. Returns how many.

    What such a cell had printed, that nothing is done yet, goes.
    """
    count = 0
    for cell in notebook.cells:
        found = CHECK.search(cell.source) if cell.cell_type == "code" else None
        if found:
            cell.source = solved(cell.source, exercises.get(found[1]))
            cell.outputs, cell.execution_count = [], None
            count += 1
    return count


def solved(source: str, item: exercises.Exercise) -> str:
    """An exercise's cell with the solution where the stub was; the rest stays as it is."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == item.name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines[first - 1 : node.end_lineno] = item.source.splitlines()
            return "\n".join(lines)
    raise HatlibError(f"the cell of exercise {item.id} has no function {item.name}")


def write(notebooks: Sequence[Path], folder: Path, solutions: bool) -> int:
    """Writes copies of the notebooks, and of the pages beside them, to a folder.

    Args:
        notebooks: the files; their outputs stay.
        folder: created if needed; nothing in it is replaced.
        solutions: in the place of the stubs; otherwise there are none.
    Returns:
        How many solutions were put in, or taken out.
    Raises:
        HatlibError: a file is there already, or one of the notebooks cannot be read.
    """
    beside = sorted(notebooks[0].parent.glob("*.md"))
    for path in (*notebooks, *beside):
        if (folder / path.name).exists():
            raise HatlibError(f"{folder / path.name} is there already: choose another folder")
    edit = with_solutions if solutions else without_solutions
    texts = {}
    count = 0
    for path in notebooks:
        notebook = kernel.read(path, keep_outputs=True)
        count += edit(notebook)
        texts[path.name] = kernel.as_text(notebook)
    console.make_folder(folder)
    for name, text in texts.items():
        write_text(folder / name, text)
    for path in beside:
        with atomic_path(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)
    return count


def marks(folder: Path, out: Path) -> int:
    """A class as a table: a row for each progress file, a column for each exercise.

    Args:
        folder: with the learners' files, NAME.json; what cannot be read is named and left out.
        out: the CSV file: name, how many have passed, and when each was first passed (UTC) or
            nothing. It is not replaced if it is there.
    Returns:
        How many learners it has.
    Raises:
        HatlibError: `folder` has no such file, or `out` is there already or cannot be written.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise HatlibError(f"no progress files, NAME.json, in {folder}")
    check_target(out)
    if out.exists():
        raise HatlibError(f"{out} is there already: choose another name")
    ids = [item.id for item in exercises.all_exercises()]
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["name", "passed", *ids])
    count = 0
    for file in files:
        try:
            done = progress.read(file)
        except HatlibError as error:
            console.warn(str(error))
            continue
        rows.writerow([file.stem, sum(id in done for id in ids), *(done.get(id, "") for id in ids)])
        count += 1
    write_text(out, table.getvalue())
    return count
