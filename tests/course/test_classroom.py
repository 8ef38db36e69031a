"""`hatlib course --student`, `--instructor` and `--marks`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from hatlib import HatlibError
from hatlib.cli import app
from hatlib.course import classroom, exercises, kernel, runner

pytest.importorskip("nbclient", reason="the course needs the extra `notebooks`")

NOTEBOOKS = runner.find_notebooks()
ALL = exercises.all_exercises()


def text(path: Path) -> str:
    return "\n".join(cell.source for cell in kernel.read(path).cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_solution_is_taken_out_or_put_in(path: Path) -> None:
    own = [item for item in ALL if item.id.startswith(path.stem[:2])]
    assert own
    student = kernel.read(path)
    assert classroom.without_solutions(student) == len(own)
    left = "\n".join(cell.source for cell in student.cells)
    assert left.count("<summary>Hint</summary>") == len(own)
    assert left.count("<details>") == left.count("</details>")
    assert not [item.id for item in own if item.source in left]
    instructor = kernel.read(path)
    assert classroom.with_solutions(instructor) == len(own)
    code = "\n".join(cell.source for cell in instructor.cells if cell.cell_type == "code")
    assert not [item.id for item in own if item.source not in code]
    assert "raise NotImplementedError" not in code
    compile(
        "\n".join(line for line in code.splitlines() if line[:1] not in "%!"), path.name, "exec"
    )


def test_the_rest_of_a_cell_stays() -> None:
    item = exercises.get("03.1")
    cell = f"import a  # why\n\n\ndef {item.name}(x):\n    raise NotImplementedError\n\n\nb = 1"
    assert classroom.solved(cell, item) == f"import a  # why\n\n\n{item.source}\n\n\nb = 1"
    with pytest.raises(HatlibError, match=r"exercise 03\.1 has no function"):
        classroom.solved("b = 1", item)


def test_copies_keep_outputs_and_replace_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["course", "--only", "03", "--student", str(tmp_path / "class")]
    assert app.main(command) == 0
    assert capfd.readouterr().out.startswith("1 notebooks, ")
    written = tmp_path / "class" / "03_srcnn.ipynb"
    cells = json.loads(written.read_text(encoding="utf-8"))["cells"]
    assert any(cell.get("outputs") for cell in cells)
    assert (tmp_path / "class" / "GLOSSARY.md").is_file()
    before = written.read_bytes()
    assert app.main([*command[:3], "--instructor", str(tmp_path / "class")]) == 2
    assert "is there already" in capfd.readouterr().err
    assert written.read_bytes() == before


def test_what_a_class_has_passed_is_a_table(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {
        "ada": '{"03.1": "2026-10-01 10:00", "99.9": "2026-10-01 10:00"}',
        "bo": "{}",
        "cy": "[]",
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(content)
    out = tmp_path / "marks.csv"
    assert app.main(["course", "--marks", str(tmp_path), str(out)]) == 0
    said = capfd.readouterr()
    assert said.out == f"2 learners: {out}\n" and "cy.json is no file of passed" in said.err
    with out.open(encoding="utf-8", newline="") as table:
        ada, bo = csv.DictReader(table)
    assert (ada["name"], ada["passed"], ada["03.1"]) == ("ada", "1", "2026-10-01 10:00")
    assert (bo["name"], bo["passed"], bo["03.1"]) == ("bo", "0", "")
    assert len(ada) == 2 + len(ALL)
    assert app.main(["course", "--marks", str(tmp_path), str(out)]) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--student", "a", "--instructor", "b"], "name one of"),
        (["--student", "a", "--store"], "name one of"),
        (["--marks", "nowhere", "x.csv"], "no progress files"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app.main(["course", *options]) == 2
    err = capfd.readouterr().err
    assert words in err and err.count("\n") == 1 and not list(tmp_path.iterdir())
