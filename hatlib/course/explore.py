"""The explorers without code: each on a page of its own, on this machine, through Voilà.

Voilà is Jupyter's way to show a notebook's results and controls without its code. A notebook with
one explorer is two cells, so they are written when they are needed, into a temporary folder.
"""

from __future__ import annotations

import importlib.util
import inspect
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from hatlib.course import widgets
from hatlib.errors import HatlibError, unknown
from hatlib.system import machine

SUFFIX = "_explorer"
# what the names of functions do not say well enough
TITLES = {"wipe": "before-after"}


def explorers() -> dict[str, str]:
    """Name → function of `hatlib.course.widgets`, for each explorer."""
    functions = [name for name in widgets.__all__ if name.endswith(SUFFIX) or name in TITLES]
    named = {TITLES.get(f, f.removesuffix(SUFFIX).replace("_", "-")): f for f in functions}
    return dict(sorted(named.items()))


def run(name: str | None, port: int, browser: bool) -> int:
    """Shows one explorer, or a list of all to choose from, until it is interrupted.

    Args:
        name: one of `explorers()`; None for all.
        port: of the server on this machine, which nobody else can reach; 0 takes a free one.
        browser: whether to open one.
    Returns:
        Voilà's exit code.
    Raises:
        HatlibError: an unknown name, or Voilà is missing.
    """
    known = explorers()
    if name is not None and name not in known:
        raise unknown("explorer", name, known)
    if importlib.util.find_spec("voila") is None:
        raise HatlibError(f"explorers without code need voila: {machine.INSTALL_NOTEBOOKS}")
    with tempfile.TemporaryDirectory(prefix="hatlib-explore-") as folder:
        for each in [name] if name else known:
            write_notebook(Path(folder) / f"{each}.ipynb", known[each])
        shown = Path(folder) / f"{name}.ipynb" if name else Path(folder)
        command = [sys.executable, "-m", "voila", str(shown), "--Voila.ip=127.0.0.1"]
        command += [f"--port={port or free_port()}"]
        command += [] if browser else ["--no-browser"]
        return subprocess.run(command).returncode


def free_port() -> int:
    """A port of this machine that nobody listens at; Voilà itself would call it 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_notebook(path: Path, function: str) -> None:
    """A notebook with one explorer: what it shows, in words, and the explorer."""
    import nbformat
    from nbformat import v4

    summary = (inspect.getdoc(getattr(widgets, function)) or "").partition("\n\n")[0]
    code = f"from hatlib.course import widgets\n\nwidgets.{function}()"
    title = path.stem.replace("-", " ").capitalize()
    cells = [v4.new_markdown_cell(f"# {title}\n\n{summary}"), v4.new_code_cell(code)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "title": title})
    nbformat.write(notebook, path)
