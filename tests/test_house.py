"""The house: packaging, environments, commands and the rules that hold for every file."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hatlib
from tests.helpers import ROOT

EXTRAS = ("notebooks", "docs", "export", "tests")
CONDA_NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",  # where conda-forge's name differs
    "jupyter-client": "jupyter_client",
    "jupyter-core": "jupyter_core",
    "playwright": "playwright-python",
}
IMPORT_NAMES = {
    "scikit-image": "skimage",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "beautifulsoup4": "bs4",
}

# What `import hatlib` must not bring along: each is imported inside the function that needs it.
LAZY = {
    "torch",
    "numpy",
    "matplotlib",
    "ipywidgets",
    "IPython",
    "pandas",
    "skimage",
    "scipy",
    "pooch",
    "pydantic",
    "typer",
    "rich",
    "nbclient",
    "nbformat",
    "nbconvert",
}


@cache
def project() -> dict:
    return tomllib.loads(read("pyproject.toml"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(*extras: str) -> dict[str, Requirement]:
    """What the package needs, with those extras: canonical name → requirement."""
    lines = sum(
        (project()["optional-dependencies"][extra] for extra in extras), project()["dependencies"]
    )
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


# --- packages and versions ------------------------------------------------------------------------


def test_version_is_the_same_everywhere() -> None:
    assert "version" in project()["dynamic"], "pyproject.toml takes it from hatlib/version.py"
    cited = yaml.safe_load(read("CITATION.cff"))["version"]
    assert cited == hatlib.__version__, "write the version of hatlib/version.py into CITATION.cff"
    installed = importlib.metadata.version(project()["name"])
    assert installed == hatlib.__version__, "run pip install -e . again"


@pytest.mark.parametrize("name", requirements(*EXTRAS))
def test_pyproject_has_lower_bounds_only(name: str) -> None:
    bounds = list(requirements(*EXTRAS)[name].specifier)
    assert [bound.operator for bound in bounds] == [">="], (
        f"{name}: write one lower bound (>=); the exact version belongs into constraints.txt"
    )


def test_environment_yml_is_in_step_with_pyproject() -> None:
    listed = yaml.safe_load(read("environment.yml"))["dependencies"]
    conda = {line for line in listed if isinstance(line, str)} - {"pip"}
    expected = {
        f"{CONDA_NAMES.get(name, name)}{requirement.specifier}"
        for name, requirement in requirements(*EXTRAS).items()
    }
    expected |= {f"python{project()['requires-python']}"}
    assert conda == expected, (
        f"environment.yml: add {sorted(expected - conda)}, remove {sorted(conda - expected)}"
    )
    assert listed[-1] == {"pip": ["-e ."]}, "environment.yml ends with: pip: -e ."


@cache
def constraints() -> dict[str, Requirement]:
    lines = [
        line for line in read("constraints.txt").splitlines() if line and not line.startswith("#")
    ]
    parsed: dict[str, Requirement] = {
        canonicalize_name(Requirement(line).name): Requirement(line) for line in lines
    }
    assert len(parsed) == len(lines), "a package is listed twice"
    return parsed


def test_constraints_are_exact_and_within_the_bounds() -> None:
    for requirement in constraints().values():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), (
            f"{requirement}: an exact public version, please"
        )
    for name, requirement in requirements(*EXTRAS).items():
        assert name in constraints(), f"add {name}==… to constraints.txt"
        version = str(constraints()[name].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), (
            f"{name}: {version} is not {requirement.specifier}"
        )


def test_constraints_cover_every_installed_dependency() -> None:
    """Followed through the installed packages, so it sees the dependencies that apply on this
    system."""
    for name in requirements(*EXTRAS):
        version = importlib.metadata.version(name)
        if not constraints()[name].specifier.contains(version):
            pytest.skip(f"not the environment of constraints.txt: {name} is {version} here")
    todo, seen = list(requirements(*EXTRAS).values()), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen or name.startswith(
            ("nvidia-", "cuda-", "triton")
        ):
            continue  # torch pins the CUDA packages itself
        seen.add((name, *sorted(requirement.extras)))
        assert name in constraints(), f"add {name}==… to constraints.txt"
        for line in importlib.metadata.requires(requirement.name) or []:
            needed = Requirement(line)
            extras = {"", *requirement.extras}
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in extras
            ):
                todo.append(needed)


# --- what imports what ----------------------------------------------------------------------------


def modules() -> list[Path]:
    return sorted((ROOT / "hatlib").rglob("*.py"))


class WithoutTypeImports(ast.NodeTransformer):
    """Drops `if TYPE_CHECKING:` blocks: what only annotations name is not imported at run time."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else node


def imports(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a file of the package imports, inside functions too; and
    `hatlib.name` in use."""
    for node in ast.walk(WithoutTypeImports().visit(ast.parse(source))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: absolute imports, please"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "hatlib"
        ):
            yield node.lineno, f"hatlib.{node.attr}"


def third_party(paths: list[Path]) -> set[str]:
    names = {
        name.split(".")[0]
        for path in paths
        for _, name in imports(path.read_text(encoding="utf-8"))
    }
    return names - sys.stdlib_module_names - {"hatlib"}


def test_every_dependency_is_declared_and_used() -> None:
    def importable(*extras: str) -> set[str]:
        return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in requirements(*extras)}

    used = third_party(modules())
    undeclared = used - importable("notebooks", "docs", "export")
    assert not undeclared, f"add to the dependencies in pyproject.toml: {sorted(undeclared)}"
    unused = importable() - used
    assert not unused, f"hatlib imports none of these, remove from pyproject.toml: {sorted(unused)}"


NEW_MODULES = "import sys; import hatlib; print(*{name.split('.')[0] for name in sys.modules})"


def test_import_is_light() -> None:
    """`import hatlib` brings no package that takes time to import; torch least of all."""
    done = subprocess.run(
        [sys.executable, "-c", NEW_MODULES], capture_output=True, text=True, cwd=ROOT, check=True
    )
    imported = set(done.stdout.split())
    assert "hatlib" in imported
    assert not imported & LAZY, "import these inside the functions that need them"


def test_import_sets_no_environment_variable() -> None:
    code = "import os; before = dict(os.environ); import hatlib; print(before == dict(os.environ))"
    clean = {name: value for name, value in os.environ.items() if "OMP" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean,
        check=True,
    )
    assert done.stdout == "True\n"


def test_the_package_can_be_surveyed_at_a_glance() -> None:
    entries = {path.name for path in (ROOT / "hatlib").iterdir()} - {"__pycache__"}
    assert len(entries) <= 18, "a new module belongs into one of the packages"


# --- commands -------------------------------------------------------------------------------------


def targets() -> list[str]:
    return re.findall(r"^([a-z]+):", read("Makefile"), flags=re.M)


def test_makefile_documents_its_targets() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), flags=re.M)
    documented = re.findall(r"^([a-z]+):.* ## \S", read("Makefile"), flags=re.M)
    assert phony and sorted(phony[1].split()) == sorted(targets()) == sorted(documented)
    assert {"run", "test", "lab", "notebooks", "clean"} <= set(targets())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no make")
def test_plain_make_prints_help() -> None:
    done = subprocess.run(["make"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert all(f"make {target} " in done.stdout for target in targets())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no make")
@pytest.mark.parametrize(
    ("lies", "code", "says"),
    [
        ("sys.version_info = (3, 10, 1)", 2, "hatlib needs Python 3.11 or newer;"),
        ("sys.platform = 'darwin'; platform.machine = lambda: 'x86_64'", 2, "for Intel Macs"),
        ("sys.version_info = (3, 15, 0)", 0, "have wheels for Python 3.11 to 3.14"),
    ],
)
def test_make_says_which_python_it_needs(lies: str, code: int, says: str, tmp_path: Path) -> None:
    """A Python that lies about itself, and does nothing but say which one it is."""
    (tmp_path / ".ci").mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".ci/check_python.py"):
        (tmp_path / name).write_text(read(name), encoding="utf-8")
    other = tmp_path / "python"
    other.write_text(
        "#!/bin/sh\n"
        '[ "$1" = .ci/check_python.py ] || exit 1\n'
        f'exec {shlex.quote(sys.executable)} -c "import platform, sys; {lies}; '
        'exec(open(sys.argv[1]).read())" "$1"\n',
        encoding="utf-8",
    )
    other.chmod(0o755)
    done = subprocess.run(
        ["make", "run", f"PYTHON={other}"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2  # the newer one stops where it is to make .venv
    assert says in done.stdout + done.stderr
    assert ("Setting up" in done.stdout) == (code == 0)
    assert not (tmp_path / ".venv").exists()


@cache
def subcommands() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "hatlib", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^[^\w\n]*([a-z]+)\s{2,}\S", done.stdout, flags=re.M))


def missing_from(command: str) -> str | None:
    """What a shell command refers to and the repository lacks; None if it is sound."""
    words = shlex.split(command, comments=True)
    if words[:2] == ["python", "-m"]:
        words = words[2:]
    match words:
        case ["python", script, *_] if script.endswith(".py"):
            return None if (ROOT / script).is_file() else f"no {script}"
        case ["make", target, *_]:
            return None if target in targets() else f"make has no target {target}"
        case ["hatlib", name, *_]:
            return None if name in subcommands() else f"hatlib has no command {name}"
        case ["pytest", *_]:
            folders = [
                word
                for word in words
                if re.fullmatch(r"[a-z]+", word) and word not in ("pytest", "loadscope")
            ]
            return next(
                (f"no folder {name}" for name in folders if not (ROOT / name).is_dir()), None
            )
        case ["pip", "install", *rest]:
            files = [rest[i + 1] for i, word in enumerate(rest) if word in ("-c", "-r")]
            extras = re.findall(r"\w+", "".join(rest).partition("[")[2])
            lacking = [name for name in files if not (ROOT / name).is_file()]
            lacking += [name for name in extras if name not in project()["optional-dependencies"]]
            return f"no {lacking[0]}" if lacking else None
        case ["pip" | "ruff" | "mypy" | "lint-imports" | "codespell_lib", *_]:
            return None
        case [".ci/run" | ".ci/dist" as script]:
            return None if os.access(ROOT / script, os.X_OK) else f"no {script}"
        case ["build/tools/bin/python", "-m", "twine", "upload", *_]:
            return None  # .ci/dist has installed it
    return "a command that this test does not know"


def workflow_commands() -> list[tuple[str, str]]:
    found = []
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
            found += [(path.name, line) for line in lines if line and not line.startswith("! grep")]
    return found


@pytest.mark.parametrize(("workflow", "command"), workflow_commands())
def test_workflows_run_what_exists(workflow: str, command: str) -> None:
    assert missing_from(command.partition(" > ")[0]) is None


def test_the_workflow_check_sees_mistakes() -> None:
    assert missing_from("make tests") == "make has no target tests"
    assert missing_from("hatlib fetsch set5") == "hatlib has no command fetsch"
    assert missing_from("python -m pytest testing -n 2") == "no folder testing"
    assert missing_from('python -m pip install -e ".[notebooks,doc]"') == "no doc"
    assert missing_from("tox") is not None


def test_the_notebook_test_is_the_same_command_everywhere() -> None:
    """make test, and the workflows where there is no make."""
    options = set(re.findall(r"--nbval\S*(?: \d+)?", read("Makefile")))
    assert "--nbval-lax" in options
    for _, command in workflow_commands():
        if "--nbval" in command:
            here = set(re.findall(r"--nbval\S*(?: \d+)?", command))
            assert here == options, f"NOTEBOOKS in the Makefile has {sorted(options)}"


# --- every file -----------------------------------------------------------------------------------


@cache
def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        pytest.skip("not a git checkout: the files of the repository can't be listed")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


# A package index is the user's choice; paths of one machine mean nothing on another.
NOT_OURS = re.compile(
    r"pypi[.]org|pythonhosted[.]org|conda[.]anaconda"
    r"|(?<![\w.])/(?:work|root|home|opt|Users|tmp)/\w|[A-Z]:\\Users"
)


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    found = []
    for name in tracked():
        try:
            text = read(name)
        except UnicodeDecodeError:
            continue  # a picture or weights
        text = re.sub(r"[A-Za-z0-9+/=]{200,}", "", text)  # pictures inside notebooks
        found += [(name, match) for match in NOT_OURS.findall(text)]
    assert not found, f"remove from these files: {found}"


def test_downloads_and_builds_are_not_tracked() -> None:
    inside = [
        name
        for name in tracked()
        if name.startswith(("data/", "build/", ".venv/")) and name != "data/README.md"
    ]
    assert not inside, f"git rm --cached {' '.join(inside)}"
    weights = "hatlib/weights/trained/"  # tests/weights/test_trained.py limits their sum
    large = [
        name
        for name in tracked()
        if not name.startswith(weights) and (ROOT / name).stat().st_size > 1.5e6
    ]
    assert not large, f"1.5 MB is the limit for one file: {large}"


def test_the_worked_example_of_contributing_runs() -> None:
    import torch

    (code,) = re.findall(r"```python\n(.*?)```", read("CONTRIBUTING.md"), flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": __name__}
    exec(code, names)
    model = names["EDSR"](2, names["EDSRConfig"](blocks=1, features=8))
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "README.md"])
def test_pages_name_files_that_exist(name: str) -> None:
    made_up = {"hatlib/models/edsr.py"}
    paths = set(
        re.findall(r"`((?:hatlib|tests|experiments|benchmarks|notebooks)/[\w./-]*)`", read(name))
    )
    lacking = sorted(path for path in paths - made_up if not (ROOT / path).exists())
    assert not lacking, f"{name} names {lacking}"


def test_pre_commit_has_the_versions_of_constraints_txt() -> None:
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    revisions = {hook["repo"].rpartition("/")[2]: hook["rev"] for hook in hooks}
    packages = {"ruff-pre-commit": "ruff", "codespell": "codespell", "zizmor-pre-commit": "zizmor"}
    for repository, package in packages.items():
        version = str(constraints()[package].specifier).removeprefix("==")
        assert revisions[repository] == f"v{version}", f"{repository}: write v{version}"


# What a job may that publishes.
PUBLISH = {
    "pages publish": {"pages": "write", "id-token": "write"},
    "release publish": {"contents": "read", "id-token": "write"},
}


def test_actions_are_pinned_to_commits_and_may_only_read() -> None:
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {}
        for name, job in workflow["jobs"].items():
            may = PUBLISH.get(f"{path.stem} {name}", {"contents": "read"})
            assert job["permissions"] == may, name
            for step in job["steps"]:
                assert "uses" not in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])
