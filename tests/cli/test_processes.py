"""Several processes give the bytes of one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hatlib.cli import app
from hatlib.imaging import io
from tests.helpers import ROOT

IMAGES = 5
COMMANDS = (
    "upscale set OUT/upscaled --model nearest",
    "evaluate --model nearest --data set --scale 2 --save-images OUT/saved --json OUT.json",
    "reproduce --models bicubic --data good --scale 2 --out OUT/reproduced",
)
# all commands in each process, as each start takes seconds; ends well where one left an image out
SCRIPT = """
import sys
from hatlib.cli import app
codes = [app.main(command.split()) for command in sys.argv[1:]]
sys.exit(codes != [1, 1, 0])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: good, tiny images; set, the same and one that cannot be read."""
    numbers = np.random.default_rng(0)
    for name in ("good", "set", "one", "two"):
        (tmp_path / name).mkdir()
    for k in range(IMAGES):
        image = numbers.integers(0, 256, (24, 32 + 4 * k, 3), dtype=np.uint8)
        io.save_image(tmp_path / "good" / f"{k}.png", image)
        io.save_image(tmp_path / "set" / f"{k}.png", image)
    (tmp_path / "set" / "bad.png").write_text("not a picture")
    (tmp_path / "all.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(out: str) -> list[str]:
    return [command.replace("OUT", out) for command in COMMANDS]


def images(folder: Path) -> dict[str, bytes]:
    """The images below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def without_seconds(value: Any) -> Any:
    """A table, or a file of one, without what no two runs have in common."""
    if isinstance(value, Path) and value.suffix == ".json":
        return without_seconds(json.loads(value.read_text()))
    if isinstance(value, Path):
        return [without_seconds(row) for row in csv.DictReader(value.open())]
    if isinstance(value, dict):
        return {key: without_seconds(item) for key, item in value.items() if key != "seconds"}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def assert_same(folder: Path) -> None:
    """Two processes made what one made."""
    assert images(folder / "two") == images(folder / "one")
    for file in ("one.json", "one/reproduced/reproduce.csv"):
        one, two = (without_seconds(folder / file.replace("one", out)) for out in ("one", "two"))
        assert one == two and one


def test_two_processes_of_a_launcher_give_the_bytes_of_one(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert [app.main(command.split()) for command in commands("one")] == [1, 1, 0]
    before = capfd.readouterr().out
    port = str(29500 + os.getpid() % 1000)
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, *launcher, "all.py", *commands("two")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert_same(folder)
    # one line for all processes, and the image that was left out
    assert "one/upscaled: 5 of 6 images written; left out: bad.png\n" in before
    assert "two/upscaled: 5 of 6 images written; left out: bad.png\n" in process.stdout
    assert process.stdout.count("left out: bad\n") == 1
    # resumed by one process, nothing is made again
    app.main(commands("two")[0].split())
    assert "two/upscaled: 0 of 6 images written; 5 done before" in capfd.readouterr().out


def test_shards_are_the_whole(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    upscale, _, reproduce = commands("one")
    whole = app.main(upscale.split()), app.main(reproduce.split())
    upscale, _, reproduce = commands("two")
    capfd.readouterr()
    codes = [app.main(f"{upscale} --shard {k}/3".split()) for k in (3, 1, 2)]
    assert (max(codes), whole[1]) == whole
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "two/upscaled, part 3 of 3: 1 of 2 images written; left out: bad.png"
    assert [app.main(f"{reproduce} --shard {k}/3".split()) for k in (2, 3, 1)] == [0, 0, 0]
    assert not (folder / "two/reproduced/reproduce.csv").exists()
    capfd.readouterr()
    assert app.main(reproduce.split()) == 0
    assert "good: 0 of 5 images to measure" in capfd.readouterr().out
    assert images(folder / "two") == images(folder / "one")
    one, two = (
        without_seconds(folder / out / "reproduced/reproduce.csv") for out in ("one", "two")
    )
    assert one == two and len(one) == IMAGES


def test_two_processes_on_one_folder_lose_nothing(folder: Path) -> None:
    command = [sys.executable, "-m", "hatlib", *commands("two")[0].replace("set", "good").split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(timeout=200) for process in both] == [0, 0]
    app.main(commands("one")[0].replace("set", "good").split())
    assert images(folder / "two") == images(folder / "one")
    # and each result is known as hatlib's
    assert app.main(command[3:]) == 0


def test_what_another_process_wrote_since_the_start_is_known(folder: Path) -> None:
    from hatlib.cli.results import Results

    early = Results()
    target = folder / "two" / "new.png"
    early.check([target])
    other = Results()
    with other.writing(target, {"command": "upscale"}) as file:
        file.write_bytes(b"an image")
    early.check([target])
    assert early.done(target, {"command": "upscale"})


def test_a_shard_of_one_image_is_refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = "upscale set/0.png 0.png --model nearest --shard 1/2"
    assert app.main(command.split()) == 2
    assert "--shard is for the images of a folder" in capfd.readouterr().err
