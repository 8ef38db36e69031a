"""The explorers under ipywidgets 7.7, which Colab has: the same tests again, in another process.

`make test` and `make check` install that version in a folder of its own inside `.venv`, not in the
environment itself.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

HERE = Path(__file__).resolve().parent
FOLDER = ROOT / ".venv" / "ipywidgets-7"
# Tests that make widgets: the arithmetic is the same under both versions.
WITH_WIDGETS = "explorer or sliders or wipe or test_base or test_upload"
RUN = """
import sys
import ipywidgets, pytest
assert ipywidgets.__version__.startswith("7.7."), ipywidgets.__version__
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_explorers_under_ipywidgets_7() -> None:
    if importlib.metadata.version("ipywidgets").startswith("7."):
        pytest.skip("this environment has ipywidgets 7 itself")
    if not (FOLDER / "ipywidgets").is_dir():
        pytest.skip(
            f"no {FOLDER}; make check installs it, or: pip install --no-deps "
            "--target .venv/ipywidgets-7 -c .github/colab.txt ipywidgets ipython_genutils"
        )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-W",
        "ignore::DeprecationWarning",
        str(HERE),
        "-k",
        WITH_WIDGETS,
        f"--ignore={__file__}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 20, done.stdout
