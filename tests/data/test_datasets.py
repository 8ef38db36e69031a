"""Data sets: the catalogue, downloads that break in every way, pairs, patches, and no test image in
training."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hatlib import HatlibError
from hatlib.data import datasets, registry
from hatlib.imaging.degradation import downsample
from hatlib.imaging.io import save_image
from hatlib.imaging.resize import imresize
from hatlib.system import downloads
from hatlib.system.downloads import Remote
from tests.helpers.serving import Server

# --- the catalogue --------------------------------------------------------------------------------


def test_the_catalogue_has_the_sets_of_the_course() -> None:
    assert {"set5", "set14", "bsd100", "urban100", "bsds500", "t91", "portraits", "builtin"} <= set(
        datasets.names()
    )
    assert [row["name"] for row in datasets.table()] == datasets.names()


@pytest.mark.parametrize("name", [name for name in datasets.names() if name != "builtin"])
def test_the_registry_has_what_the_catalogue_says(name: str) -> None:
    entry, remotes = datasets.info(name), registry.registry()[name]
    assert entry.files == len(remotes)
    assert entry.bytes == sum(remote.bytes for remote in remotes)
    assert entry.terms and entry.citation and entry.homepage.startswith("https://")
    assert not entry.labels or len(entry.labels) == entry.files
    assert set(entry.left_out) <= {remote.path for remote in remotes}
    lr = registry.registry().get(f"{name}:lr", ())
    assert entry.lr_bytes == sum(remote.bytes for remote in lr)
    assert len(lr) in (0, entry.files)
    hr_names = [Path(remote.path).name for remote in remotes]
    assert [Path(remote.path).name.replace("_LR.", "_HR.") for remote in lr] in ([], hr_names)


def test_the_registry_is_well_formed() -> None:
    remotes = [remote for section in registry.registry().values() for remote in section]
    assert len(remotes) == 977 and len({remote.path for remote in remotes}) == 977
    for remote in remotes:
        assert len(remote.sha256) == 64 and set(remote.sha256) <= set("0123456789abcdef")
        (url,) = remote.urls
        assert url.startswith("https://raw.githubusercontent.com/") and "{" not in url
        assert "/master/" not in url and "/main/" not in url  # pinned to a commit
        assert not remote.path.startswith("/") and ".." not in remote.path and remote.bytes > 0
    urls = {remote.path: remote.urls[0] for remote in remotes}
    assert urls["faces/D000096.jpg"].endswith("/118/D000096/original.jpg")
    assert urls["set5/HR/img_001_SRF_4_HR.png"].endswith(
        "/data/Set5/image_SRF_4/img_001_SRF_4_HR.png"
    )


def test_the_source_of_bsd100_is_no_training_data() -> None:
    folders = {remote.path.rsplit("/", 1)[0] for remote in registry.registry()["bsds500"]}
    assert folders == {"bsds500/train", "bsds500/test"}


def test_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(HatlibError, match="did you mean 'urban100'"):
        datasets.load("urban10")
    with pytest.raises(HatlibError, match="unknown data set 'sett5'"):
        datasets.fetch("sett5")


# --- downloads, from a server of our own ----------------------------------------------------------


def png(seed: int, height: int = 24, width: int = 30) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def small_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> tuple[Remote, ...]:
    """Set5's name for five small files on the server."""
    remotes = tuple(server.remote(f"set5/HR/{k}.png", png(k)) for k in range(5))
    monkeypatch.setattr(registry, "registry", lambda: {"set5": remotes})
    return remotes


def files_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_a_set_is_fetched_once(
    server: Server, small_set: tuple[Remote, ...], tmp_path: Path
) -> None:
    paths = datasets.fetch("set5")
    assert paths == [tmp_path / "data" / remote.path for remote in small_set]
    assert [path.read_bytes() for path in paths] == [
        server.files[remote.path] for remote in small_set
    ]
    assert sorted(server.asked) == [remote.path for remote in small_set]
    datasets.fetch("set5")
    assert len(server.asked) == 5  # everything is there: the network is not used
    assert [pair.name for pair in datasets.load("set5", scale=3)] == [
        "baby",
        "bird",
        "butterfly",
        "head",
        "woman",
    ]


def test_present_files_are_counted_in_the_table(small_set: tuple[Remote, ...]) -> None:
    assert datasets.table()[0]["present"] == 0
    datasets.fetch("set5", limit=2)
    assert datasets.table()[0]["present"] == 2


def test_a_limit_fetches_only_what_is_needed(server: Server, small_set: tuple[Remote, ...]) -> None:
    assert len(datasets.load("set5", limit=2)) == 2
    assert sorted(server.asked) == [remote.path for remote in small_set[:2]]


@pytest.mark.parametrize("harm", [b"", b"not a picture", None])
def test_a_damaged_local_file_is_fetched_again(
    server: Server, small_set: tuple[Remote, ...], harm: bytes | None
) -> None:
    path = datasets.fetch("set5")[1]
    good = path.read_bytes()
    path.write_bytes(
        good[:-1] + b"!" if harm is None else harm
    )  # None: the right length, another byte
    server.asked.clear()
    datasets.fetch("set5")
    assert path.read_bytes() == good and server.asked == ["set5/HR/1.png"]


@pytest.mark.parametrize("trouble", ["damaged", "cut", "503", "429"])
def test_what_passes_is_asked_for_again(
    server: Server, small_set: tuple[Remote, ...], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(downloads, "PAUSE", 0.05)
    server.trouble = {"set5/HR/2.png": [trouble, trouble]}
    datasets.fetch("set5")
    assert server.asked.count("set5/HR/2.png") == 3


def test_a_connection_that_hangs_once_is_made_anew(
    server: Server, small_set: tuple[Remote, ...], impatient: None
) -> None:
    server.trouble = {"set5/HR/0.png": ["hang"]}
    datasets.fetch("set5")
    assert server.asked.count("set5/HR/0.png") == 2


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("damaged", "its bytes are not those of the registry"),
        ("cut", "the connection was cut"),
        ("404", "the server answers 404 Not Found"),
        ("hang", "no answer for"),
    ],
)
def test_what_does_not_pass_is_one_clear_line(
    server: Server,
    small_set: tuple[Remote, ...],
    impatient: None,
    tmp_path: Path,
    trouble: str,
    says: str,
) -> None:
    server.trouble = {"set5/HR/3.png": [f"always:{trouble}"]}
    with pytest.raises(HatlibError) as caught:
        datasets.fetch("set5")
    message = str(caught.value)
    assert says in message and "\n" not in message
    assert f"{server.url}/set5/HR/3.png" in message or trouble == "hang"  # what was tried
    assert (
        str(tmp_path / "data" / "set5" / "HR") in message and str(registry.REGISTRY) in message
    )  # what to do
    there = files_in(tmp_path / "data")
    assert "set5/HR/3.png" not in there and set(there) <= {remote.path for remote in small_set}
    assert trouble != "404" or server.asked.count("set5/HR/3.png") == 1
    server.trouble.clear()
    datasets.fetch("set5")  # nothing stands in the way of a second try
    assert len(files_in(tmp_path / "data")) == 5


@pytest.mark.timeout(30)  # it would ask again and again
def test_offline_it_fails_soon(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = Remote("set5/HR/0.png", ("http://127.0.0.1:9/0.png",), 10, "0" * 64)
    monkeypatch.setattr(registry, "registry", lambda: {"set5": (nobody,) * 5})
    with pytest.raises(HatlibError, match="no connection"):
        datasets.load("set5")


@pytest.mark.timeout(30)  # it would hang
def test_a_network_that_swallows_everything_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where no time limit of the connection works, as with a name server that keeps silent."""

    def swallow(*_: object) -> None:
        server.release.wait(60)

    monkeypatch.setattr(downloads, "_network", lambda: swallow)
    monkeypatch.setattr(downloads, "STALL_TIMEOUT", 0.5)
    monkeypatch.setattr(registry, "registry", lambda: {"set5": (server.remote("a", b"a"),)})
    with pytest.raises(HatlibError, match="no answer"):
        datasets.fetch("set5")


def test_the_limits_keep_the_promise_of_ten_seconds() -> None:
    assert downloads.STALL_TIMEOUT + 1 < 10
    assert (
        2 * downloads.TIMEOUT <= downloads.STALL_TIMEOUT
    )  # one connection that hangs is replaced before we give up


def test_a_folder_that_cannot_be_written_to_is_an_error(
    small_set: tuple[Remote, ...], tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(HatlibError, match=r"HATLIB_DATA is '.*data', which is not a folder"):
        datasets.fetch("set5")


def test_several_threads_may_fetch_the_same_set(
    server: Server, small_set: tuple[Remote, ...], tmp_path: Path
) -> None:
    errors: list[Exception] = []

    def run() -> None:
        try:
            datasets.fetch("set5")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert files_in(tmp_path / "data") == [remote.path for remote in small_set]


SCRIPT = textwrap.dedent("""
    import sys
    from hatlib.data import datasets, registry
    from hatlib.system import downloads
    lines = [line.split() for line in sys.argv[1:]]
    remotes = tuple(downloads.Remote(p, (u,), int(n), s) for p, u, n, s in lines)
    registry.registry = lambda: {"set5": remotes}
    print("ready", flush=True)
    datasets.fetch("set5")
""")


def start(remotes: tuple[Remote, ...]) -> subprocess.Popen[str]:
    """A program of its own that fetches the set."""
    lines = [f"{remote.path} {remote.urls[0]} {remote.bytes} {remote.sha256}" for remote in remotes]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *lines],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_several_programs_may_fetch_the_same_set(
    server: Server, small_set: tuple[Remote, ...], tmp_path: Path
) -> None:
    programs = [start(small_set) for _ in range(3)]
    assert [(program.communicate(timeout=120)[1], program.returncode) for program in programs] == [
        ("", 0)
    ] * 3
    assert files_in(tmp_path / "data") == [remote.path for remote in small_set]
    assert all(downloads.intact(remote, tmp_path / "data") for remote in small_set)


@pytest.mark.skipif(
    sys.platform == "win32", reason="Ctrl-C can't be sent to one program on Windows"
)
def test_ctrl_c_ends_promptly_and_leaves_nothing_half_written(
    server: Server, small_set: tuple[Remote, ...], tmp_path: Path
) -> None:
    server.trouble = {"set5/HR/4.png": ["always:hang"]}
    program = start(small_set)
    deadline = time.monotonic() + 60
    while len(files_in(tmp_path / "data")) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    errors = program.communicate(timeout=30)[1]
    assert program.returncode != 0 and errors.strip().endswith("KeyboardInterrupt")
    assert files_in(tmp_path / "data") == [
        remote.path for remote in small_set[:4]
    ]  # four whole ones, no fifth


# --- the mirror -----------------------------------------------------------------------------------


@pytest.fixture
def mirror(
    server: Server, small_set: tuple[Remote, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """A mirror with the small set; the network is not to be used."""
    folder = tmp_path / "mirror"
    for path, content in server.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    monkeypatch.setenv("HATLIB_MIRROR", str(folder))
    return folder


def test_a_mirror_takes_the_place_of_the_network(
    server: Server, mirror: Path, tmp_path: Path
) -> None:
    assert len(datasets.load("set5")) == 5
    assert files_in(tmp_path / "data") == files_in(mirror)
    assert server.asked == []


def test_a_file_that_the_mirror_lacks_is_named(server: Server, mirror: Path) -> None:
    (mirror / "set5/HR/2.png").unlink()
    with pytest.raises(
        HatlibError, match=r"set5/HR/2\.png cannot be copied from HATLIB_MIRROR.*no such file"
    ):
        datasets.fetch("set5")
    assert server.asked == []


def test_a_damaged_file_of_the_mirror_is_refused(mirror: Path, tmp_path: Path) -> None:
    (mirror / "set5/HR/2.png").write_bytes(b"something else")
    with pytest.raises(HatlibError, match="not those of the registry"):
        datasets.fetch("set5")
    assert "set5/HR/2.png" not in files_in(tmp_path / "data")


def test_files_that_are_there_need_neither_network_nor_mirror(
    server: Server, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets.fetch("set5")
    monkeypatch.setenv("HATLIB_MIRROR", str(mirror / "gone"))
    assert len(datasets.load("set5")) == 5
    assert server.asked == []


# --- pairs ----------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A user's folder: colour and gray, odd sizes, a file of another kind, a hidden file."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "my photos"
    folder.mkdir()
    save_image(folder / "b.png", rng.integers(0, 256, (41, 50, 3), dtype=np.uint8))
    save_image(folder / "a.bmp", rng.integers(0, 256, (30, 33, 3), dtype=np.uint8))
    save_image(folder / "c.png", rng.integers(0, 256, (20, 20), dtype=np.uint8))
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_bytes(b"not one either")
    return folder


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_folder_is_a_data_set(photos: Path, scale: int) -> None:
    pairs = datasets.load(photos, scale=scale)
    assert pairs.names == ["a", "b", "c"] and len(pairs) == 3
    for pair in pairs:
        assert pair.lr.dtype == pair.hr.dtype == np.uint8
        assert pair.hr.shape[:2] == tuple(scale * side for side in pair.lr.shape[:2])
        assert np.array_equal(pair.lr, imresize(pair.hr, 1 / scale))
    assert pairs[1].hr.shape == (41 - 41 % scale, 50 - 50 % scale, 3)
    assert datasets.load(str(photos), scale=scale)[1].hr.shape == pairs[1].hr.shape


def test_pairs_are_a_sequence(photos: Path) -> None:
    pairs = datasets.load(photos)
    assert [pair.name for pair in pairs[1:]] == pairs[1:].names == ["b", "c"]
    assert pairs[-1].name == "c" and len(datasets.load(photos, limit=2)) == 2
    with pytest.raises(IndexError):
        pairs[3]


def test_one_channel_files_are_kept_or_expanded(photos: Path) -> None:
    kept, expanded = datasets.load(photos)[2], datasets.load(photos, gray="rgb")[2]
    assert kept.hr.shape == (20, 20) and kept.lr.shape == (5, 5)
    assert np.array_equal(expanded.hr, np.repeat(kept.hr[..., None], 3, 2))
    assert np.array_equal(expanded.lr, np.repeat(kept.lr[..., None], 3, 2))
    assert [image.shape for image in datasets.hr_images(photos)] == [
        (30, 33, 3),
        (41, 50, 3),
        (20, 20, 3),
    ]
    assert datasets.hr_images(photos, gray="keep")[2].shape == (20, 20)


def test_two_files_of_one_stem_keep_their_suffixes(photos: Path) -> None:
    save_image(photos / "b.bmp", np.zeros((8, 8, 3), np.uint8))
    assert datasets.load(photos).names == ["a", "b.bmp", "b.png", "c"]


def test_pairs_are_read_only_when_asked_for(photos: Path) -> None:
    (photos / "broken.png").write_text("text")
    pairs = datasets.load(photos)
    assert pairs[0].name == "a"
    with pytest.raises(HatlibError, match=r"broken\.png"):
        pairs[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"scale": 7}, "scale can be 2, 3, 4 or 8, got 7"),
        (
            {"lr": "bicubic"},
            "lr is 'bicubic'; it can be matlab, float, pil, torch-antialias, torch or original",
        ),
        ({"lr": "original"}, "has no original LR files"),
        ({"lr": "original", "scale": 2}, "original LR files are for scale 4, got scale 2"),
        ({"gray": "L"}, "gray is 'L'"),
        ({"border": "wrap"}, "border is 'wrap'; it can be symmetric, reflect or replicate"),
        ({"limit": 0}, "at least 1, got 0"),
        ({"every": 0}, "every is 1 for all images, 10 for each tenth, got 0"),
    ],
)
def test_wrong_arguments_are_said_to_be_wrong(
    photos: Path, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(HatlibError, match=says):
        datasets.load(photos, **arguments)  # type: ignore[arg-type]


def test_each_so_manyth_image_can_be_taken(photos: Path) -> None:
    assert datasets.load(photos, every=2).names == ["a", "c"]
    assert datasets.load(photos, every=2, limit=1).names == ["a"]
    assert datasets.load("builtin", every=7).names == ["astronaut", "tissue", "facade-7"]


def test_lr_can_be_made_as_other_programs_do_it(photos: Path) -> None:
    usual, other = datasets.load(photos), datasets.load(photos, lr="pil")
    assert np.array_equal(other[1].hr, usual[1].hr) and other[1:][0].lr.shape == usual[1].lr.shape
    assert np.array_equal(other[1].lr, downsample(usual[1].hr, 4, "pil"))


def test_sets_without_lr_files_say_so() -> None:
    with pytest.raises(
        HatlibError, match="t91 has no original LR files; those that have: set5, set14"
    ):
        datasets.load("t91", lr="original")
    with pytest.raises(HatlibError, match="builtin has no original LR files"):
        datasets.load("builtin", lr="original")


def test_folders_that_are_none(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HatlibError, match="no image in"):
        datasets.load(tmp_path / "empty")
    with pytest.raises(HatlibError, match="no such folder"):
        datasets.load(tmp_path / "missing")
    with pytest.raises(HatlibError, match="is a file; a data set is a folder"):
        datasets.load(photos / "b.png")


def test_an_image_smaller_than_the_scale_is_an_error(tmp_path: Path) -> None:
    save_image(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(HatlibError, match="scale 4 needs an image of at least 4×4"):
        datasets.load(tmp_path)[0]


def test_the_builtin_pictures_are_a_data_set() -> None:
    pairs = datasets.load("builtin", limit=3)
    assert pairs.names == ["astronaut", "brick", "camera"]
    assert pairs[0].lr.shape == (128, 128, 3) and pairs[2].hr.shape == (
        512,
        512,
    )  # camera has one channel
    assert len(datasets.hr_images("builtin", limit=4)) == 4
    assert datasets.fetch("builtin") == []
    assert datasets.info("builtin").files == len(datasets.load("builtin"))


# --- real data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set5", "set14"])
def test_original_lr_files_are_equal_in_every_pixel(
    name: str, needs_data: Callable[..., None]
) -> None:
    needs_data(name)
    try:
        original = datasets.load(name, lr="original")
    except HatlibError:
        pytest.skip(
            f"the original LR files of {name} are not here; "
            f"datasets.fetch('{name}', original_lr=True) gets them"
        )
    made = datasets.load(name, border="replicate")
    assert len(original) == len(made) == datasets.info(name).files
    for ours, theirs in zip(made, original, strict=True):
        assert np.array_equal(ours.hr, theirs.hr)
        assert np.array_equal(ours.lr, theirs.lr), ours.name


def test_only_the_files_of_a_part_are_fetched(needs_data: Callable[..., None]) -> None:
    needs_data("set14")
    part = datasets.load("set14", every=6, lr="original")
    assert (
        part.names == ["baboon", "flowers", "ppt3"]
        and part[1].lr.shape[0] * 4 == part[1].hr.shape[0]
    )
    assert [path.name for path in datasets.fetch("set14", every=6)] == [
        f"img_{k:03}_SRF_4_HR.png" for k in (1, 7, 13)
    ]


def test_set14_has_one_file_of_one_channel(needs_data: Callable[..., None]) -> None:
    needs_data("set14")
    pairs = datasets.load("set14")
    assert [pair.name for pair in pairs if pair.hr.ndim == 2] == ["bridge"]
    assert all(pair.lr.ndim == pair.hr.ndim == 3 for pair in datasets.load("set14", gray="rgb"))


def test_the_leaking_photo_is_left_out(needs_data: Callable[..., None]) -> None:
    needs_data("bsds500")
    pairs = datasets.load("bsds500")
    assert len(pairs) == 399 and "302003" not in pairs.names
    assert len(datasets.load("bsds500", limit=200)) == 200
    assert any(
        path.name == "302003.jpg" for path in datasets.fetch("bsds500")
    )  # so it was there to be left out


def thumbnail(image: np.ndarray) -> np.ndarray:
    """24×24 values of mean 0 and length 1, which scale, size and contrast leave as they are."""
    gray = Image.fromarray(image).convert("L").resize((24, 24), Image.Resampling.BOX)
    values = np.asarray(gray, np.float64).ravel()
    return (values - values.mean()) / np.linalg.norm(values - values.mean())


def test_no_training_image_is_a_test_image(needs_data: Callable[..., None]) -> None:
    """Thumbnails are compared, which finds the same photo at another size; the one known leak shows
    that they do."""
    needs_data("bsds500", "t91", "set5", "set14", "urban100")
    tests = {
        f"{name}/{source.name}": thumbnail(source.read("rgb"))
        for name in ("set5", "set14", "urban100")
        for source in datasets.load(name).sources
    }
    of_tests = np.stack(list(tests.values()))
    training = datasets.hr_images("bsds500") + datasets.hr_images("t91")
    assert len(training) == 399 + 91
    turned = [side for image in training for side in (thumbnail(image), thumbnail(image[:, ::-1]))]
    likeness = np.stack(turned) @ of_tests.T
    assert likeness.max() < 0.9
    leak = next(path for path in datasets.fetch("bsds500") if path.name == "302003.jpg")
    alike = of_tests @ thumbnail(np.asarray(Image.open(leak)))
    assert list(tests)[int(alike.argmax())] == "set5/woman" and alike.max() > 0.98


def test_the_progress_bar_is_quiet_under_test(
    small_set: tuple[Remote, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert "PYTEST_CURRENT_TEST" in os.environ
    datasets.fetch("set5")
    assert capfd.readouterr() == ("", "")
