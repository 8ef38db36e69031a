"""Folders of images: formats, subfolders, metadata, and two programs at one folder."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hatlib.cli import app, results
from hatlib.cli.batch import Batch
from hatlib.imaging import io
from hatlib.system import locks

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: set/a.png, set/b.jpg, set/deep/a.png, set/deep/er/c.png."""
    for name in ("a.png", "b.jpg", "deep/a.png", "deep/er/c.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        io.save_image(tmp_path / "set" / name, PHOTO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hatlib(command: str) -> int:
    """Runs a command as it would be typed; its exit code."""
    return app.main(command.split())


def images(folder: Path) -> list[str]:
    """The files below a folder that are no records, as posix paths."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return sorted(path.relative_to(folder).as_posix() for path in found)


BOTH = pytest.mark.parametrize("command", ["upscale {} --model nearest", "degrade {}"])


# ---- formats -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("option", "expected", "kind"),
    [
        ("", ["a.png", "b.png"], "PNG"),
        ("--format png", ["a.png", "b.png"], "PNG"),
        ("--format jpg", ["a.jpg", "b.jpg"], "JPEG"),
        ("--format webp", ["a.webp", "b.webp"], "WEBP"),
        ("--format tiff", ["a.tiff", "b.tiff"], "TIFF"),
    ],
)
def test_a_folder_has_the_format_that_is_asked_for(
    folder: Path, command: str, option: str, expected: list[str], kind: str
) -> None:
    assert hatlib(f"{command.format('set new')} {option}") == 0
    assert images(folder / "new") == expected
    assert {Image.open(folder / "new" / name).format for name in expected} == {kind}


def test_an_image_into_a_folder_has_the_format_that_is_asked_for(folder: Path) -> None:
    (folder / "new").mkdir()
    assert hatlib("upscale set/a.png new --model nearest --format webp") == 0
    assert images(folder / "new") == ["a.webp"]


def test_the_quality_of_jpeg(folder: Path) -> None:
    sizes = []
    for quality in ("", "--quality 50", "--quality 100"):
        assert hatlib(f"upscale set/a.png a.jpg --model nearest {quality}") == 0
        sizes.append((folder / "a.jpg").stat().st_size)
    assert sizes[1] < sizes[0] < sizes[2]


# ---- subfolders ----------------------------------------------------------------------------------


@BOTH
def test_subfolders_go_into_subfolders(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    (folder / "set" / ".hidden").mkdir()
    shutil.copy("set/a.png", "set/.hidden/a.png")
    command = command.format("set set/out --recursive")
    assert hatlib(command) == 0
    assert images(folder / "set" / "out") == ["a.png", "b.png", "deep/a.png", "deep/er/c.png"]
    out, err = capfd.readouterr()
    assert out == "set/out: 4 of 4 images written\n"
    assert "deep/er/c.png: 32×24 → " in err
    # the results are no originals, and what is done is kept
    assert hatlib(command) == 0
    assert "set/out: 0 of 4 images written; 4 done before" in capfd.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_to_folders_are_not_followed(folder: Path) -> None:
    (folder / "set" / "deep" / "loop").symlink_to(folder / "set")
    assert hatlib("degrade set new --recursive") == 0
    assert images(folder / "new") == ["a.png", "b.png", "deep/a.png", "deep/er/c.png"]


def test_a_bad_file_below_is_named_with_its_folder(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "set" / "deep" / "bad.png").write_bytes(b"no image")
    assert hatlib("degrade set new --recursive") == 1
    out, err = capfd.readouterr()
    assert out == "new: 4 of 5 images written; left out: deep/bad.png\n"
    assert "hatlib: deep/bad.png left out: " in err


REFUSED = {
    "upscale set new --model nearest --format gif": "'gif'",
    "upscale set/a.png a.png --model nearest --format webp": "OUT is the file a.png",
    "upscale set/a.png a.png --model nearest --recursive": "set/a.png is none",
    "upscale set new --model nearest --quality 50": "--format jpg",
    "upscale set new --model nearest --quality 0 --format jpg": "--quality",
    "upscale set clash --model nearest --recursive": "",
    "upscale set new --model nearest --tile 1": "from 16 up",
    "upscale set new --model nearest --tile 15": "from 16 up",
    "degrade set set --recursive": "the originals would be lost",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_cannot_be_is_one_line(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    if "clash" in command:  # a picture and a folder whose results would have one name
        (folder / "set" / "b.png").mkdir()
        shutil.copy("set/a.png", "set/b.png/d.png")
    assert hatlib(command) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and REFUSED[command] in err
    assert not (folder / "new").exists() and not (folder / "clash").exists()


# ---- metadata ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("option", ["", "--no-metadata"])
def test_metadata_is_kept_unless_it_is_not_wanted(folder: Path, command: str, option: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.fromarray(PHOTO).save(folder / "mine.jpg", exif=exif, dpi=(300, 300))
    assert hatlib(f"{command.format('mine.jpg new.png')} {option}") == 0
    with Image.open(folder / "new.png") as file:
        assert file.getexif().get(0x010F) == (None if option else "Maker")
        assert ("dpi" in file.info) != bool(option)


def test_what_is_left_out_is_said(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x010E] = "d" * 90_000
    Image.fromarray(PHOTO).save(folder / "mine.png", exif=exif)
    assert hatlib("degrade mine.png new.png") == 0
    assert "mine.png: EXIF of 90,034 bytes is left out" in capfd.readouterr().err


# ---- two programs at one folder ------------------------------------------------------------------


def record(folder: Path) -> list[str]:
    """The results of a folder in the order in which they were written."""
    lines = (folder / results.RECORD).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["file"] for line in lines]


def twenty(folder: Path) -> None:
    for number in range(20):
        shutil.copy("set/a.png", f"set/{number:02}.png")


def test_two_programs_do_each_image_once(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    twenty(folder)
    codes: list[int] = []

    def work() -> None:
        codes.append(hatlib("upscale set new --model nearest"))

    programs = [threading.Thread(target=work) for _ in range(3)]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
    assert codes == [0, 0, 0]
    names = record(folder / "new")
    assert len(names) == 22 and len(set(names)) == 22 == len(images(folder / "new"))
    assert not list((folder / "new").glob(".hatlib-*.lock"))


def test_an_image_that_another_program_has_in_hand_is_done_in_the_end_if_that_fails(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = Batch(Path("set"), Path("new"))
    (folder / "new").mkdir()
    in_hand = other._claimed(Path("set/a.png"))
    in_hand.__enter__()
    program = threading.Thread(target=hatlib, args=("degrade set new",))
    program.start()
    while len(images(folder / "new")) < 1:
        pass
    program.join(0.3)
    assert program.is_alive() and images(folder / "new") == ["b.png"]  # a.png is waited for
    in_hand.__exit__(None, None, None)  # without a result, as a program that was killed
    program.join()
    assert images(folder / "new") == ["a.png", "b.png"]
    assert "a.png: another program is at work on it" in capfd.readouterr().err


def test_what_a_killed_program_left_claims_nothing(folder: Path) -> None:
    batch = Batch(Path("set"), Path("new"))
    (folder / "new").mkdir()
    with batch._claimed(Path("set/a.png")):
        (left,) = (folder / "new").glob(".hatlib-*.lock")
        name = left.name
    (folder / "new" / name).touch()
    assert hatlib("degrade set new") == 0
    assert images(folder / "new") == ["a.png", "b.png"]
    assert not (folder / "new" / name).exists()


def test_a_disk_without_locks_is_no_obstacle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert hatlib("degrade set new") == 0
    with locks.alone_in(folder, "test"):
        assert images(folder / "new") == ["a.png", "b.png"]
