"""Colab, simulated: one notebook alone in an empty folder, in an environment that has everything
but hatlib."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from packaging.version import Version

from tests.helpers import ROOT

STARTUP = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"
# What a notebook's last cell finds out about where it is.
PROBE = """
import importlib.metadata, json, os, pathlib, sys
print("PROBE", json.dumps({
    "hatlib": hatlib.__file__,
    "typed": pathlib.Path(hatlib.__file__).with_name("py.typed").is_file(),
    "data": str(hatlib.system.paths.data_folder()),
    "torch": importlib.metadata.version("torch"),
    "colab": "google.colab" in sys.modules,
    "files": sorted(os.listdir()),
}))
"""


@pytest.fixture
def colab(tmp_path: Path) -> Path:
    """A virtual environment that sees this one's packages, but not hatlib."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=os.name != "nt")
    python = tmp_path / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    # .pth files inside a folder that is added by one are not read: an editable hatlib stays out
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    hidden = subprocess.run(
        [python, "-c", "import torch, hatlib"], cwd=tmp_path, capture_output=True, text=True
    )
    if "No module named 'hatlib'" not in hidden.stderr:
        pytest.skip("hatlib is installed for good in this environment, so it cannot be hidden")
    return python


def install_source(folder: Path) -> str:
    """A copy of what pip builds the package from, as an address."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / "hatlib", folder / "hatlib", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder.as_uri()


def environment(tmp_path: Path) -> dict[str, str]:
    """No network, no mirror, no checkout; pip may take nothing but the source it is given."""
    outside = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("HATLIB_", "PIP_", "PYTHON", "MPL"))
    }
    return {
        **outside,
        "HATLIB_SOURCE": install_source(tmp_path / "source"),
        "HATLIB_PROFILE": "quick",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the wrong way round: 0 is without isolation
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",  # nothing listens there
    }


def test_a_notebook_alone_installs_hatlib_and_runs(colab: Path, tmp_path: Path) -> None:
    if Version(importlib.metadata.version("setuptools")) < Version("77"):
        pytest.skip("building the package here, without a network, needs setuptools 77")
    import nbformat

    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "colab.py").write_text(STARTUP)
    alone = tmp_path / "alone"
    alone.mkdir()
    notebook = nbformat.read(ROOT / "notebooks" / "02_metrics.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE))
    nbformat.write(notebook, alone / "02_metrics.ipynb")

    runner = ROOT / "tests" / "helpers" / "run_in_kernel.py"
    command = [sys.executable, str(runner), str(colab), str(alone / "02_metrics.ipynb")]
    done = subprocess.run(
        command, cwd=alone, env=environment(tmp_path), capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PROBE")]
    found = json.loads(line.removeprefix("PROBE"))
    assert found["colab"]
    assert found["typed"], "py.typed is not in the wheel: see package-data in pyproject.toml"
    assert Path(found["hatlib"]).is_relative_to(tmp_path / "env")
    assert found["torch"] == importlib.metadata.version("torch")
    assert found["files"] == ["02_metrics.ipynb"]  # downloads would not land beside the notebook
    assert Path(found["data"]).name == "hatlib" and not Path(found["data"]).is_relative_to(ROOT)
    assert "built-in photographs instead of Set5" in done.stdout
