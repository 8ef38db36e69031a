"""One program at a time in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hatlib.system import locks

HOLD = """
import sys, pathlib
from hatlib.system import locks
with locks.alone_in(pathlib.Path(sys.argv[1]), "train"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_ends_with_its_program_and_leaves_nothing(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with (
        pytest.raises(locks.Taken, match=r"another program \(train\) writes to"),
        locks.alone_in(tmp_path, "train"),
    ):
        raise AssertionError("two are inside")
    with locks.alone_in(tmp_path, "reproduce"):
        pass  # another purpose is no matter
    other.kill()
    other.communicate()
    with locks.alone_in(tmp_path, "train"):
        pass
    assert os.listdir(tmp_path) == []


def test_on_a_disk_without_locks_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise NotImplementedError

    import filelock

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with locks.alone_in(tmp_path, "train"):
        pass
