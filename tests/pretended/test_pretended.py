"""Everything that a device beside the CPU may trip over, on a pretended one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from packaging.version import Version

from tests.helpers import ROOT

HERE = Path(__file__).parent


@pytest.mark.timeout(900)
@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.13"),
    reason="torch's place for devices in Python is new, and was tried from 2.13 on",
)
def test_hatlib_on_another_device() -> None:
    """In a process of its own: torch forgets no device that it has got to know."""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "HATLIB_DEVICE": "pretended"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=600"]
    done = subprocess.run(
        [*command, str(HERE / "checks.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stdout[-6000:] + done.stderr[-2000:]
