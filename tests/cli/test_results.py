"""What commands may write: no input is ever replaced, no file that hatlib did not write is replaced
unasked, and a result counts as done only if it would be made again as it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hatlib import HatlibError
from hatlib.cli import app, batch, results
from hatlib.imaging import io, user_files

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: set/a.png and set/b.png; mine/a.png and mine.png, which are somebody's
    own; mine.json and mine.svg."""
    for name in ("set", "mine"):
        (tmp_path / name).mkdir()
    io.save_image(tmp_path / "set" / "a.png", PHOTO)
    io.save_image(tmp_path / "set" / "b.png", PHOTO[::-1])
    io.save_image(tmp_path / "mine" / "a.png", 255 - PHOTO)
    io.save_image(tmp_path / "mine.png", 255 - PHOTO)
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "mine.svg").write_text("<svg/>")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hatlib(command: str) -> int:
    """Runs a command as it would be typed; its exit code."""
    return app.main(command.split())


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their content."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


EVALUATE = "evaluate --model nearest --data set --scale 2"
LAM = "--model bicubic --window 0 0 8 --steps 1"

# Never, not even with --overwrite.
INPUTS = {
    "upscale, a file onto itself": "upscale mine.png mine.png --model nearest",
    "upscale, a file into its folder": "upscale set/a.png set --model nearest",
    "upscale, a folder onto itself": "upscale set set --model nearest",
    "upscale, a folder onto itself by another name": "upscale set ./mine/../set --model nearest",
    "degrade, a file onto itself": "degrade mine.png mine.png",
    "degrade, a folder onto itself": "degrade set set",
    "evaluate, into the data": f"{EVALUATE} --save-images set",
    "evaluate, a table onto an image": f"{EVALUATE} --json set/a.png",
    "lam, a figure onto the image": f"lam mine.png mine.png {LAM}",
    "reproduce, into the data": "reproduce --models bicubic --data set --scale 2 --out set",
    "reproduce, a table onto an image": "reproduce --models bicubic --data set --json set/b.png",
}

# Only with --overwrite.
FOREIGN = {
    "upscale, a file": "upscale set/a.png mine.png --model nearest",
    "upscale, a file into a folder": "upscale set/a.png mine --model nearest",
    "upscale, a folder": "upscale set mine --model nearest",
    "degrade, a file": "degrade set/a.png mine.png",
    "degrade, a folder": "degrade set mine",
    "evaluate, images": f"{EVALUATE} --save-images mine",
    "evaluate, a table": f"{EVALUATE} --json mine.json",
    "lam": f"lam set/a.png mine.svg {LAM}",
    "reproduce, a folder": "reproduce --models bicubic --data set --scale 2 --out mine",
    "reproduce, a table": "reproduce --models bicubic --data set --scale 2 --json mine.json",
    "datasets, a table": "datasets --json mine.json",
    "models, a table": "models --json mine.json",
    "doctor, a table": "doctor --json mine.json",
}


@pytest.mark.parametrize("more", ["", " --overwrite"])
@pytest.mark.parametrize("command", INPUTS.values(), ids=INPUTS.keys())
def test_an_input_is_never_replaced(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str, more: str
) -> None:
    before = contents(folder)
    assert hatlib(command + more) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("hatlib: ") and err.count("\n") == 1
    assert contents(folder) == before


@pytest.mark.parametrize("command", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_hatlib_did_not_write_is_replaced_only_if_asked_for(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    before = contents(folder)
    assert hatlib(command) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "--overwrite" in err
    assert contents(folder) == before
    assert hatlib(command + " --overwrite") == 0
    assert contents(folder) != before


@pytest.mark.parametrize(
    "command",
    [
        "upscale set/a.png new.png --model nearest",
        "degrade set/a.png new.png",
        f"{EVALUATE} --save-images new --json new.json",
        f"lam set/a.png new.svg {LAM}",
        "reproduce --models bicubic --data set --scale 2 --out new --json new.json",
    ],
)
def test_the_same_command_can_be_given_again(folder: Path, command: str) -> None:
    assert hatlib(command) == 0
    assert hatlib(command) == 0


def test_a_result_that_somebody_has_changed_is_not_ours_any_more(folder: Path) -> None:
    assert hatlib("upscale set new --model nearest") == 0
    io.save_image("new/a.png", PHOTO)  # painted on
    before = contents(folder)
    assert hatlib("upscale set new --model nearest") == 2
    assert contents(folder) == before


def copied() -> None:
    """The folder of results is another one with the same files."""
    shutil.copytree("new", "copy")
    shutil.rmtree("new")
    os.rename("copy", "new")


# What happens to the two results of `upscale set new --model nearest --scale 2` when something has
# changed: how many are made again.
CHANGES: dict[str, tuple[Callable[[], object], str, int]] = {
    "nothing": (lambda: None, "--model nearest --scale 2", 0),
    "nothing, precision by name": (lambda: None, "--model nearest --scale 2 --precision fp32", 0),
    "all asked for": (lambda: None, "--model nearest --scale 2 --overwrite", 2),
    "the scale": (lambda: None, "--model nearest --scale 3", 2),
    "the model": (lambda: None, "--model bicubic --scale 2", 2),
    "an option": (lambda: None, "--model nearest --scale 2 --ensemble", 2),
    "an original": (
        lambda: io.save_image("set/a.png", 255 - PHOTO),
        "--model nearest --scale 2",
        1,
    ),
    "the date of an original": (lambda: os.utime("set/a.png"), "--model nearest --scale 2", 0),
    "a result, gone": (lambda: os.unlink("new/b.png"), "--model nearest --scale 2", 1),
    "the folder, copied": (copied, "--model nearest --scale 2", 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_result_counts_as_done_if_it_would_be_made_again_as_it_is(
    folder: Path, capfd: pytest.CaptureFixture[str], change: str
) -> None:
    assert hatlib("upscale set new --model nearest --scale 2") == 0
    do, options, made = CHANGES[change]
    do()
    capfd.readouterr()
    assert hatlib(f"upscale set new {options}") == 0
    assert f"new: {made} of 2 images written" in capfd.readouterr().out
    after = contents(folder / "new")
    shutil.rmtree("new")
    assert hatlib(f"upscale set new {options}") == 0
    fresh = contents(folder / "new")
    assert [after[name] for name in ("a.png", "b.png")] == [
        fresh[name] for name in ("a.png", "b.png")
    ]


def test_degrade_keeps_what_is_done_too(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for scale, made in ((4, 2), (4, 0), (2, 2)):
        assert hatlib(f"degrade set new --scale {scale}") == 0
        assert f"new: {made} of 2 images written" in capfd.readouterr().out
    assert io.load_image("new/a.png").shape == (12, 16, 3)


def test_a_damaged_record_makes_results_foreign_and_stops_nothing_else(folder: Path) -> None:
    hatlib("upscale set new --model nearest")
    record = folder / "new" / results.RECORD
    lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    record.write_text("[]\n5\nnull\n{}\n" + lines[0] + lines[1][:40], encoding="utf-8")
    assert hatlib("upscale set new --model nearest") == 2  # of the second one nothing is known
    (folder / "new" / "b.png").unlink()
    assert hatlib("upscale set new --model nearest") == 0


def test_a_process_killed_between_record_and_file_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    hatlib("upscale set new --model nearest --scale 2")
    monkeypatch.setattr("hatlib.system.atomic.replace", killed)
    assert hatlib("upscale set new --model nearest --scale 3") == 130
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    capfd.readouterr()
    assert hatlib("upscale set new --model nearest --scale 3") == 0
    assert "new: 2 of 2 images written" in capfd.readouterr().out


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (["a.png", "b.jpg"], ["a.png", "b.png"]),
        (["a.png", "a.bmp"], ["a.png.png", "a.bmp.png"]),
        (["IMG.png", "img.jpg"], ["IMG.png.png", "img.jpg.png"]),
        (["a.bmp", "a.png", "a.bmp.jpg"], ["a.bmp.png", "a.png.png", "a.bmp.jpg.png"]),
    ],
)
def test_no_two_results_have_one_name(images: list[str], expected: list[str]) -> None:
    names = batch.result_names([Path(name) for name in images], Path("out"))
    assert [path.name for path in names] == expected


@pytest.mark.parametrize("stem", ["x" * 246, "図" * 82])
def test_a_name_that_fits_is_written(folder: Path, stem: str) -> None:
    shutil.copy("set/a.png", folder / "set" / f"{stem}.png")
    assert hatlib("upscale set new --model nearest") == 0
    assert (folder / "new" / f"{stem}.png").is_file()


def test_a_name_that_does_not_fit_is_one_line(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["degrade", "set/a.png", "x" * 300 + ".png"]) == 2
    assert "File name too long" in capfd.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_stays_a_link(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "link.png").symlink_to("deep/new.png")
    for scale, side in ((2, 12), (4, 6)):
        assert hatlib(f"degrade set/a.png link.png --scale {scale}") == 0
        assert (folder / "link.png").is_symlink()
        assert io.load_image("deep/new.png").shape[0] == side
    (folder / "to_input.png").symlink_to("set/b.png")
    assert hatlib("degrade set/b.png to_input.png --overwrite") == 2


@pytest.mark.parametrize("command", ["degrade {} out", "upscale {} out --model nearest"])
def test_an_empty_name_is_not_the_working_folder(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    assert app.main([part.format("") for part in command.split()]) == 2
    assert "an argument is empty" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--model", "nearest", "--data="],
        ["reproduce", "--models", ",", "--data", "set"],
    ],
)
def test_an_empty_list_of_names_is_refused(folder: Path, arguments: list[str]) -> None:
    assert app.main(arguments) == 2


def test_a_name_moves_no_cursor(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert app.main(["degrade", "\x1b[2J.png", "out.png"]) == 2
    assert capfd.readouterr().err == "hatlib: no such file: \\x1b[2J.png\n"


# ---- files that are not files, formats that cannot hold a result ---------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize(
    "command",
    [
        "degrade pipe out.png",
        "upscale pipe out.png --model nearest",
        "datasets --json pipe",
        "datasets --json /dev/null",
        f"lam set/a.png pipe.png {LAM}",
    ],
)
def test_pipes_and_devices_are_refused(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    for name in ("pipe", "pipe.png"):
        os.mkfifo(name)
    assert hatlib(command) == 2
    assert "not a regular file" in capfd.readouterr().err
    assert Path("pipe").is_fifo()


@pytest.mark.parametrize(
    ("name", "limit"), [("o.webp", 16383), ("o.jpg", 65500), ("o.jpeg", 65500)]
)
def test_a_side_beyond_the_format_is_refused_before_the_network_runs(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    limit: int,
) -> None:
    io.save_image("wide.png", np.zeros((1, limit // 4 + 1, 3), np.uint8))
    monkeypatch.setattr("hatlib.inference.upscale.upscale_picture", pytest.fail)
    assert hatlib(f"upscale wide.png {name} --model nearest") == 2
    assert str(limit) in capfd.readouterr().err


# ---- folders -------------------------------------------------------------------------------------


def test_a_bad_file_is_left_out_and_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "set" / "broken.png").write_text("not a picture")
    assert hatlib("degrade set new") == 1
    out, err = capfd.readouterr()
    assert out == "new: 2 of 3 images written; left out: broken.png\n"
    assert err.splitlines()[:2] == ["[1/3] a.png: 32×24 → 8×6", "[2/3] b.png: 32×24 → 8×6"]
    assert err.splitlines()[2].startswith("hatlib: broken.png left out: ")
    assert sorted(contents(folder / "new")) == [results.RECORD, "a.png", "b.png"]


@pytest.mark.parametrize(
    "error", [TypeError("bytes"), MemoryError(), OSError(36, "File name too long"), KeyError(1)]
)
def test_whatever_goes_wrong_with_one_image_the_others_are_done(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    read = user_files.read_picture

    def fails(path: Path, **options: bool) -> user_files.Picture:
        if Path(path).name == "a.png":
            raise error
        return read(path, **options)

    monkeypatch.setattr(user_files, "read_picture", fails)
    assert hatlib("degrade set new") == 1
    out, err = capfd.readouterr()
    assert out == "new: 1 of 2 images written; left out: a.png\n"
    assert err.count("\n") == 2 and "Traceback" not in err
    assert hatlib("degrade set/a.png one.png") == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_no_folder_is_left_where_nothing_was_done(folder: Path) -> None:
    assert hatlib("upscale set new --model neares") == 2
    assert not (folder / "new").exists()


def test_counts_say_what_was_left_out(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy("set/a.png", "set/c.ppm")  # by its content a PNG, which is what counts
    (folder / "set" / "photo.heic").write_bytes(b"heic")
    (folder / "set" / "notes.txt").write_text("no image")
    (folder / "set" / "sub").mkdir()
    assert hatlib("degrade set new") == 1
    assert capfd.readouterr().out == (
        "new: 3 of 4 images written; left out: photo.heic (no reader for .heic); "
        "subfolders are left out: 1 (--recursive takes them)\n"
    )


def test_read_only_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for root, who may do anything: so the answer of the system is simulated."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "t.json")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(HatlibError, match="read-only"):
        results.Table(tmp_path / "t.json", overwrite=True)


def test_the_record_can_be_read_by_others(folder: Path) -> None:
    hatlib("upscale set/a.png new.png --model bicubic --scale 2")
    (line,) = (folder / results.RECORD).read_text(encoding="utf-8").splitlines()
    entry = json.loads(line)
    assert entry["file"] == "new.png" and entry["sha256"] == results.checksum(folder / "new.png")
    assert entry["made"]["command"] == "upscale" and entry["made"]["scale"] == 2


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("", "evaluate --model nearest --data ~nosuchuser/set"),
        ("", "reproduce --models bicubic --data set --out ~nosuchuser/out"),
        ("HATLIB_DATA", "fetch set5"),
        ("HATLIB_MIRROR", "fetch set5"),
    ],
)
def test_a_user_who_does_not_exist_is_one_line(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    command: str,
) -> None:
    monkeypatch.setenv("HATLIB_DATA", str(folder / "data"))
    if variable:
        monkeypatch.setenv(variable, "~nosuchuser/data")
    assert hatlib(command) == 2
    err = capfd.readouterr().err
    assert "no home folder is known for ~nosuchuser" in err and err.count("\n") == 1


# ---- files of all kinds, by all commands ---------------------------------------------------------

ONE_SET = "evaluate --model nearest --data set --scale 2 --json t.json"


def table() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path("t.json").read_text(encoding="utf-8"))
    return content


BAD_IMAGES: dict[str, Callable[[Path], object]] = {
    "a text": lambda path: path.write_text("not a picture"),
    "half a file": lambda path: path.write_bytes(Path("set/a.png").read_bytes()[:900]),
    "too small for the scale": lambda path: io.save_image(path, PHOTO[:1, :1]),
    "too small for SSIM": lambda path: io.save_image(path, PHOTO[:12, :12]),
    "a link to nothing": lambda path: path.symlink_to("nothing.png"),
    "transparent": lambda path: user_files.write_picture(
        path, user_files.Picture(PHOTO, PHOTO[..., 0])
    ),
}


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_one_bad_image_stops_no_evaluation(
    folder: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    BAD_IMAGES[kind](folder / "set" / "0.png")
    assert hatlib(ONE_SET) == 1
    out, err = capfd.readouterr()
    assert "left out: 0" in out and "hatlib: 0 left out: " in err and "Traceback" not in err
    assert [row["name"] for row in table()["images"]] == ["a", "b"] and table()["left_out"] == ["0"]


def test_a_set_of_which_nothing_can_be_measured(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (folder / "set" / f"{name}.png").write_text("not a picture")
    assert hatlib(ONE_SET) == 2
    assert "none of the 2 images of set" in capfd.readouterr().err


def test_identical_images_are_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    io.save_image("set/flat.png", np.full_like(PHOTO, 7))
    assert hatlib(ONE_SET) == 0
    assert "PSNR infinite: flat; mean of the other 2: " in capfd.readouterr().out
    assert [row["psnr"] is None for row in table()["images"]] == [False, False, True]


def test_gray_files_are_measured_as_asked_for(folder: Path) -> None:
    for name in ("a", "b"):
        io.save_image(f"set/{name}.png", PHOTO[..., 0])
    values = {}
    for gray in ("auto", "keep", "rgb"):
        assert hatlib(f"{ONE_SET} --gray {gray}") == 0
        values[gray] = table()["mean"]["psnr"]
    # one channel is measured in 0–255; as RGB it is in 16–235
    assert values["auto"] == values["keep"] < values["rgb"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (f"{EVALUATE} --save-images new --json new/a.png", "2 results"),
        (f"{EVALUATE} --json {results.RECORD}", "keeps there"),
        ("reproduce --models bicubic --data set --scale 2 --out r --json r/t.json", "lies in r"),
    ],
)
def test_two_results_of_a_command_do_not_meet(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str, says: str
) -> None:
    for name in ("new", "r"):
        (folder / name).mkdir()
    before = contents(folder)
    assert hatlib(command) == 2
    assert says in capfd.readouterr().err
    assert contents(folder) == before


def test_degrade_keeps_what_a_file_holds(folder: Path) -> None:
    wide = np.random.default_rng(1).integers(0, 65536, (24, 32, 4), dtype=np.uint16)
    picture = user_files.Picture(wide[..., :3], wide[..., 3], b"a colour profile")
    user_files.write_picture("wide.png", picture)
    assert hatlib("degrade wide.png out.png --scale 2") == 0
    lr = user_files.read_picture("out.png")
    assert lr.pixels.dtype == np.uint16 and lr.pixels.shape == (12, 16, 3)
    assert lr.alpha is not None and lr.profile == b"a colour profile"
    assert hatlib("degrade wide.png out.jpg --scale 2") == 2


@pytest.mark.parametrize(
    "command",
    [
        "upscale disc.png out.png --model bicubic",
        "upscale disc.png out.png --model srcnn-x4",
        "upscale disc.png out.png --model nearest",
        "degrade disc.png out.png --scale 2",
    ],
)
def test_no_fringe_where_alpha_ends(folder: Path, command: str) -> None:
    rows, columns = np.mgrid[:32, :32]
    disc = np.where((rows - 16) ** 2 + (columns - 16) ** 2 < 144, 255, 0).astype(np.uint8)
    user_files.write_picture("disc.png", user_files.Picture(np.stack([disc] * 3, axis=2), disc))
    assert hatlib(command) == 0
    result = user_files.read_picture("out.png")
    assert result.alpha is not None
    alpha = result.alpha[..., None] / 255
    over_white = result.pixels * alpha + 255 * (1 - alpha)
    assert over_white.min() > 250


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode on Windows")
@pytest.mark.parametrize("name", [b"\xe9t\xe9", b"a\nb", b"\x1b[31mred", b"$x_{$"])
@pytest.mark.parametrize(
    "command",
    [
        "degrade odd new",
        "evaluate --model nearest --data odd --scale 2 --save-images new --json t.json",
        "reproduce --models bicubic --data odd --scale 2 --out new",
    ],
)
def test_names_of_all_kinds(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str, name: bytes
) -> None:
    (folder / "odd").mkdir()
    os.rename("set/a.png", os.path.join(b"odd", name + b".png"))
    for _ in range(2):  # the second time, what was recorded is read
        assert hatlib(command) == 0
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err and "Traceback" not in err


def test_the_record_is_no_left_over(folder: Path) -> None:
    assert hatlib("upscale set new --model nearest") == 0
    files = [folder / "new" / name for name in (results.RECORD, ".hatlib-0123abcd.png")]
    files[1].touch()
    for path in files:
        os.utime(path, (0, 0))
    assert hatlib("upscale set new --model nearest") == 0
    assert [path.exists() for path in files] == [True, False]


@pytest.mark.parametrize(
    "command", ["degrade set new", "datasets", "upscale set new --model neares"]
)
@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_is_no_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, stream: str
) -> None:
    monkeypatch.setattr(sys, stream, None)
    assert hatlib(command) == (2 if "neares" in command else 0)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("degrade set/a.png out.png --blur-sigma 1000", "8001×8001 taps"),
        ("degrade set/a.png out.png --blur-sigma 1e300", "taps"),
        ("upscale set/a.png out.png --model nearest", "the result, 128×96 pixels, takes about"),
        (
            "lam long.png out.png --model srcnn-x4 --window 0 0 8",
            "a step of the path on an LR image of 24×9000",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    says: str,
) -> None:
    io.save_image("long.png", np.tile(PHOTO[:, :24], (375, 1, 1)))
    small = 20_000 if command.startswith("upscale") else 1 << 28
    monkeypatch.setattr("hatlib.system.devices.SMALL", small)
    monkeypatch.setattr("hatlib.system.devices.free_memory", lambda _: small)
    assert hatlib(command) == 2
    assert says in capfd.readouterr().err
    assert not Path("out.png").exists()


@pytest.mark.parametrize("shape", [(3000, 6), (6, 3000), (1, 300), (300, 1)])
def test_lam_of_a_long_strip(folder: Path, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    io.save_image("strip.png", image)
    command = "lam strip.png out.png --model bicubic --window 0 0 2 --steps 1"
    assert hatlib(command) == 0
    assert max(io.load_image("out.png").shape) < 5000
