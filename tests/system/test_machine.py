import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hatlib
from hatlib import HatlibError
from hatlib.system import devices, machine, paths
from hatlib.system.atomic import atomic_path, write_text


def test_the_profile_follows_the_variable_and_the_device(monkeypatch):
    monkeypatch.delenv("HATLIB_PROFILE", raising=False)
    assert machine.profile() == ("full" if devices.device().type == "cuda" else "quick")
    monkeypatch.setenv("HATLIB_PROFILE", "full")
    assert machine.profile() == "full"
    monkeypatch.setenv("HATLIB_PROFILE", "fast")
    with pytest.raises(HatlibError, match="it can be quick or full"):
        machine.profile()


def test_data_lies_where_the_variable_says_else_in_the_checkout(monkeypatch, tmp_path):
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path / "here"))
    assert paths.data_folder() == tmp_path / "here"
    monkeypatch.delenv("HATLIB_DATA")
    assert paths.data_folder() == Path(hatlib.__file__).resolve().parent.parent / "data"
    monkeypatch.setattr(paths, "checkout", lambda: None)
    assert paths.data_folder().name == "hatlib"


def test_a_mirror_has_to_be_a_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("HATLIB_MIRROR", raising=False)
    assert paths.mirror() is None
    monkeypatch.setenv("HATLIB_MIRROR", str(tmp_path))
    assert paths.mirror() == tmp_path
    monkeypatch.setenv("HATLIB_MIRROR", str(tmp_path / "missing"))
    with pytest.raises(HatlibError, match="not a folder"):
        paths.mirror()


def test_hello_says_version_device_and_profile(capsys):
    hatlib.hello()
    assert re.fullmatch(
        r"hatlib \S+, torch \S+, .+, profile (quick|full)\n", capsys.readouterr().out
    )


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "notes.txt"
    write_text(path, "old\n")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(HatlibError, match="does not exist"):
        write_text(tmp_path / "missing" / "notes.txt", "")


def test_names_of_the_package_resolve_and_unknown_ones_do_not():
    for name in hatlib.__all__:
        assert getattr(hatlib, name) is not None
    with pytest.raises(AttributeError):
        _ = hatlib.nothing


FAULTS = """
import resource, sys
from hatlib.system import devices
devices.prepare_cpu()
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(1 << 24)  # 64 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of GNU's C library")
def test_freed_memory_is_kept_for_the_next_block_unless_somebody_has_set_the_library_up():
    def faults(**variables: str) -> int:
        run = subprocess.run(
            [sys.executable, "-c", FAULTS],
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
            text=True,
        )
        return int(run.stdout)

    assert faults() < faults(GLIBC_TUNABLES="") / 4


def test_the_data_folder_has_to_be_a_folder(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path / "file"))
    with pytest.raises(HatlibError, match=r"HATLIB_DATA is '.*file', which is not a folder"):
        paths.data_folder()
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path / "not yet there"))
    assert paths.data_folder() == tmp_path / "not yet there"
