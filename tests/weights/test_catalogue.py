"""Published weights: the catalogue, downloads and files put in place by hand, the table of `hatlib
models`."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

from hatlib import HatlibError, models
from hatlib.cli import app, measure, options
from hatlib.data.builtin import builtin_image
from hatlib.evaluation import model_table, protocol, reported
from hatlib.imaging.io import save_image
from hatlib.models import complexity
from hatlib.system import downloads
from hatlib.weights import catalogue, files
from tests.helpers.serving import Server

ENTRIES = list(catalogue.CATALOGUE.values())
HOSTS = {"huggingface.co", "github.com"}


def parameters(entry: catalogue.Weights) -> int:
    with torch.device("meta"):
        return complexity.parameters(models.create(entry.model, entry.scale))


# --- the catalogue --------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ENTRIES, ids=catalogue.names())
def test_an_entry_is_well_formed(entry: catalogue.Weights) -> None:
    assert re.fullmatch(rf"{entry.model}-x{entry.scale}(-imagenet|-df2k|-div2k)?", entry.name)
    assert entry.training in catalogue.TRAINING and entry.licence
    assert ("imagenet" in entry.name) <= (entry.training == "ImageNet->DF2K")
    assert entry.name.endswith(("-df2k", "-div2k")) <= (entry.training.lower() in entry.name)
    assert Path(entry.file).suffix in files.SUFFIXES and Path(entry.file).name == entry.file
    assert re.fullmatch(r"[0-9a-f]{64}|", entry.sha256)
    assert entry.sha256 or not entry.addresses, "nothing is downloaded that can't be checked"
    assert entry.addresses or entry.note, "why it can't be downloaded"
    assert urlsplit(entry.homepage).hostname == "github.com"
    assert (
        len(entry.addresses) * downloads.TIMEOUT <= downloads.STALL_TIMEOUT
    )  # each gets its turn, even if others hang
    for address in entry.addresses:
        assert address.startswith("https://") and urlsplit(address).hostname in HOSTS
        assert "XPixelGroup/HAT/releases" not in address  # addresses that others invented


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if entry.bytes], ids=lambda entry: entry.name
)
def test_a_file_has_room_for_the_network(entry: catalogue.Weights) -> None:
    """In float32; twice for HAT-S (averaged weights and others). The rest is names, tables and
    masks."""
    copies = {"hat-s": 2, "swinir": 1, "hat": 1, "hat-l": 1}.get(entry.model)
    room = 4 * parameters(entry) * (copies or 1)
    assert room < entry.bytes
    assert copies is None or entry.bytes < 1.5 * room


def test_no_two_entries_share_a_file() -> None:
    for field in ("name", "file"):
        assert len({getattr(entry, field) for entry in ENTRIES}) == len(ENTRIES)
    known = [value for entry in ENTRIES for value in (entry.sha256, *entry.addresses) if value]
    assert len(set(known)) == len(known)


def test_the_catalogue_has_the_networks_of_the_course() -> None:
    unavailable = {"dat", "dat-s", "dat-2"}  # in the authors' Google Drive only
    ours = {name for name in models.CONFIGURED if name.endswith("-nano")} | {"hat-light"}
    assert {entry.model for entry in ENTRIES} == set(models.CONFIGURED) - unavailable - ours
    assert (
        {
            "hat-x4-imagenet",
            "hat-s-x4",
            "hat-l-x4-imagenet",
            "swinir-x4-df2k",
            "swinir-x4-div2k",
            "drct-l-x4",
            "swinir-light-x2",
            "rcan-x3",
        }
        <= set(catalogue.names())
        <= set(files.names())
    )
    assert {"bicubic", "nearest"} <= set(files.names())
    assert not set(catalogue.names()) & set(models.names())


@pytest.mark.parametrize(
    ("model", "counts"),
    [
        ("hat", (20_624_795, 20_809_435, 20_772_507)),
        ("hat-s", (9_473_471, 9_658_111, 9_621_183)),
        ("hat-l", (40_698_863, None, 40_846_575)),
        ("swinir", (11_752_487, 11_937_127, 11_900_199)),
        ("swinir-light", (910_152, 918_267, 929_628)),
        ("rcan", (15_444_643, 15_629_283, 15_592_355)),
    ],
)
def test_the_networks_have_the_published_number_of_parameters(
    model: str, counts: tuple[int | None, ...]
) -> None:
    by_scale = dict(zip(models.SCALES, counts, strict=True))
    for entry in catalogue.of_model(model):
        assert by_scale[entry.scale] in (None, parameters(entry))


def test_unknown_weights_name_the_nearest() -> None:
    with pytest.raises(HatlibError, match="did you mean 'hat-x4-imagenet'"):
        catalogue.fetch("hat-x4-imagnet")
    with pytest.raises(HatlibError, match="did you mean 'swinir-x4-df2k'"):
        files.load("swinir-x4-df2")


# --- reported values ------------------------------------------------------------------------------


def test_reported_values_are_plausible_and_unique() -> None:
    rows = reported.table()
    for (_, _, data, scale), value in rows.items():
        assert data in (*reported.SET_TITLES.values(), "Manga109") and scale in models.SCALES
        assert 23 < value.psnr < 40 and value.source
        assert value.ssim is None or 0.65 < value.ssim < 0.98
    lines = (
        Path(protocol.__file__).with_name("reported.csv").read_text(encoding="utf-8").splitlines()
    )
    assert len(lines) - 1 == len(rows) == 273  # no row hides another
    assert not any("eye" in line or "measured" in line for line in lines)


def test_a_larger_scale_and_less_data_are_harder() -> None:
    rows = reported.table()
    for (method, training, data, scale), value in rows.items():
        if larger := rows.get((method, training, data, scale + 1)):
            assert larger.psnr < value.psnr
        if method == "SwinIR-M" and training == "DIV2K":
            assert value.psnr < rows[method, "DF2K", data, scale].psnr
        if pretrained := rows.get((f"{method}†", "ImageNet->DF2K", data, scale)):
            assert value.psnr < pretrained.psnr


def test_the_digest_of_reported_values() -> None:
    for name, data, psnr, ssim in [
        ("hat-x4-imagenet", "urban100", 28.37, 0.8447),
        ("hat-l-x4-imagenet", "set5", 33.30, 0.9083),
        ("hat-x4", "bsd100", 28.00, 0.7517),
        ("hat-s-x4", "urban100", 27.87, 0.8346),
        ("swinir-x4-df2k", "urban100", 27.45, 0.8254),
        ("swinir-x4-div2k", "urban100", 27.07, 0.8164),
        ("swinir-light-x4", "set14", 28.77, 0.7858),
        ("rcan-x4", "set5", 32.63, 0.9002),
        ("drct-l-x4", "urban100", 28.70, 0.8508),
        ("drct-x4", "set5", 33.11, None),
    ]:
        assert reported.reported(name, data, catalogue.info(name).scale)[:2] == (psnr, ssim)  # type: ignore[index]
    for entry in ENTRIES:
        assert (reported.reported(entry.name, "urban100", entry.scale) is None) == (
            entry.name in ("hat-s-x2", "hat-s-x3", "dat-light-x2", "dat-light-x3")
        )
        assert reported.reported(entry.name, "urban100", 5) is None


# --- getting the files ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content() -> bytes:
    """A file as HAT's authors write them, of a small HAT."""
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.save({"params_ema": models.create("hat-nano", 4).state_dict()}, file)
    return file.getvalue()


def put(monkeypatch: pytest.MonkeyPatch, name: str, **changes: object) -> catalogue.Weights:
    """Changes an entry of the catalogue for a test."""
    entry = dataclasses.replace(catalogue.info(name), **changes)  # type: ignore[arg-type]
    monkeypatch.setitem(catalogue.CATALOGUE, name, entry)
    return entry


@pytest.fixture
def entry(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch) -> catalogue.Weights:
    """hat-x4-imagenet as a small file with two addresses, both on a server of ours."""
    server.files = {"first.pth": content, "second.pth": content}
    return put(
        monkeypatch,
        "hat-x4-imagenet",
        model="hat-nano",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        addresses=(f"{server.url}/first.pth", f"{server.url}/second.pth"),
    )


def files_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def test_weights_are_fetched_once_and_loaded(
    server: Server,
    entry: catalogue.Weights,
    content: bytes,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert catalogue.state(entry) == "fetch"
    model = files.load("hat-x4-imagenet")
    assert (model.scale, model.training, type(model).__name__) == (4, False, "HAT")
    assert (tmp_path / "data/weights" / entry.file).read_bytes() == content
    assert catalogue.state(entry) == "here"
    files.load("hat-x4-imagenet")
    assert app.main(["fetch", "hat-x4-imagenet", "builtin"]) == 0
    assert server.asked == ["first.pth"]
    out, err = capfd.readouterr()
    size = f"{len(content) / 1e6:.1f}"
    assert out.splitlines() == [
        f"hat-x4-imagenet: 1 file, {size} MB in {tmp_path / 'data'}",
        "builtin: needs no download",
    ]
    assert err == ""


@pytest.mark.parametrize("trouble", ["404", "503", "damaged", "cut", "hang"])
def test_the_second_address_steps_in(
    server: Server, entry: catalogue.Weights, content: bytes, impatient: None, trouble: str
) -> None:
    server.trouble = {"first.pth": [f"always:{trouble}"]}
    assert catalogue.fetch("hat-x4-imagenet").read_bytes() == content
    assert server.asked == ["first.pth", "second.pth"]


def test_nobody_at_the_first_address(
    server: Server, entry: catalogue.Weights, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, entry.name, addresses=("http://127.0.0.1:9/first.pth", entry.addresses[1]))
    assert catalogue.fetch(entry.name).read_bytes() == content


def test_a_file_of_unknown_size_is_checked_all_the_same(
    server: Server,
    entry: catalogue.Weights,
    content: bytes,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(monkeypatch, entry.name, bytes=0)
    server.files["first.pth"] = content[:-1]
    assert catalogue.fetch(entry.name).read_bytes() == content
    assert server.asked == ["first.pth", "second.pth"]


def test_when_all_addresses_fail_each_is_named_with_its_reason(
    server: Server, entry: catalogue.Weights, impatient: None, tmp_path: Path
) -> None:
    server.trouble = {"first.pth": ["always:404"], "second.pth": ["always:damaged"]}
    with pytest.raises(HatlibError) as caught:
        catalogue.fetch(entry.name)
    message = str(caught.value)
    assert "\n" not in message
    first, second = entry.addresses
    assert (
        f"from {first}: the server answers 404 Not Found; from {second}: its bytes are not those"
        in message
    )
    assert (
        f"put {entry.file} (SHA-256 {entry.sha256})" in message
        and str(tmp_path / "data" / "weights") in message
    )
    assert "registry.txt" not in message and "HATLIB_MIRROR" in message
    assert (
        server.asked.count("first.pth") == 1
        and server.asked.count("second.pth") == downloads.ATTEMPTS
    )
    assert files_in(tmp_path) == []


def test_with_no_network_it_fails_within_ten_seconds(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("no_proxy")
    assert app.main(["fetch", "hat-x4-imagenet"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "no connection" in err
    assert all(address in err for address in catalogue.info("hat-x4-imagenet").addresses)
    assert f"into {tmp_path / 'data' / 'weights'}" in err and not (tmp_path / "data").exists()


@pytest.mark.timeout(30)  # it would hang
def test_a_network_that_swallows_everything_is_given_up(
    server: Server, entry: catalogue.Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_network", lambda: lambda *_: server.release.wait(60))
    monkeypatch.setattr(downloads, "STALL_TIMEOUT", 0.5)
    with pytest.raises(
        HatlibError, match=f"{entry.addresses[0]} or {entry.addresses[1]}: no answer"
    ):
        catalogue.fetch(entry.name)


# --- by hand --------------------------------------------------------------------------------------


def by_hand(entry: catalogue.Weights, content: bytes) -> Path:
    entry.path.parent.mkdir(parents=True, exist_ok=True)
    entry.path.write_bytes(content)
    return entry.path


def test_a_file_put_in_place_by_hand_needs_no_network(
    server: Server, entry: catalogue.Weights, content: bytes
) -> None:
    path = by_hand(entry, content)
    assert catalogue.fetch(entry.name) == path and server.asked == []


@pytest.mark.parametrize("harm", ["other", "short", "empty"])
def test_a_file_of_the_right_name_and_a_wrong_hash_is_refused(
    server: Server,
    entry: catalogue.Weights,
    content: bytes,
    harm: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wrong = {"other": content[:-1] + b"!", "short": content[:1000], "empty": b""}[harm]
    path = by_hand(entry, wrong)
    assert app.main(["fetch", entry.name]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and str(path) in err
    assert hashlib.sha256(wrong).hexdigest()[:12] in err and entry.sha256[:12] in err
    with pytest.raises(HatlibError, match="its SHA-256 begins with"):
        files.load(entry.name)
    assert (
        path.read_bytes() == wrong and server.asked == []
    )  # it is the user's: neither used nor overwritten


def test_what_can_only_be_put_in_place_by_hand_says_how(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    for name in ("drct-l-x4", "rcan-x2", "drct-x4"):
        entry = catalogue.info(name)
        assert catalogue.state(entry) == "by hand"
        with pytest.raises(HatlibError, match="can't be downloaded") as caught:
            files.load(name)
        message = str(caught.value)
        assert (
            entry.homepage in message
            and entry.file in message
            and str(tmp_path / "data" / "weights") in message
        )
        assert (entry.sha256 in message) and "\n" not in message
    by_hand(catalogue.info("drct-l-x4"), content)
    with pytest.raises(HatlibError, match="its SHA-256 begins with"):
        files.load("drct-l-x4")


def test_a_file_without_a_known_hash_is_loaded_with_a_note(
    server: Server,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    entry = put(monkeypatch, "drct-x4", model="hat-nano")
    path = by_hand(entry, content)
    assert files.load("drct-x4").scale == 4
    assert capfd.readouterr().err == f"drct-x4: no SHA-256 is known, so {path} is taken as it is\n"
    put(monkeypatch, "drct-x4", model="hat-nano", scale=2)
    with pytest.raises(HatlibError, match="is not drct-x4, hat-nano ×2"):
        files.load("drct-x4")
    put(monkeypatch, "drct-x4", model="rcan-nano", scale=4)
    with pytest.raises(
        HatlibError, match=r"is not drct-x4, rcan-nano ×4: it lacks sub_mean\.weight"
    ):
        files.load("drct-x4")


# --- the mirror -----------------------------------------------------------------------------------


@pytest.fixture
def mirror(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    (folder / "weights").mkdir(parents=True)
    monkeypatch.setenv("HATLIB_MIRROR", str(folder))
    return folder / "weights"


def test_a_mirror_takes_the_place_of_the_network(
    server: Server,
    mirror: Path,
    entry: catalogue.Weights,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(HatlibError, match=r"cannot be copied from HATLIB_MIRROR=.*: no such file"):
        catalogue.fetch(entry.name)
    (mirror / entry.file).write_bytes(content[:-1])
    with pytest.raises(HatlibError, match=f"not those of the registry .*{entry.sha256[:12]}"):
        catalogue.fetch(entry.name)
    assert not entry.path.exists()
    (mirror / entry.file).write_bytes(content)
    put(monkeypatch, entry.name, addresses=())  # a mirror helps where no address is known
    assert catalogue.fetch(entry.name) == entry.path and entry.path.read_bytes() == content
    assert server.asked == []


def test_what_is_present_is_in_the_data_folder_or_in_the_mirror(
    mirror: Path, content: bytes
) -> None:
    assert catalogue.present(4) == []
    (mirror / catalogue.info("hat-l-x4-imagenet").file).write_bytes(content)
    by_hand(catalogue.info("swinir-x4-df2k"), content)
    by_hand(catalogue.info("swinir-x2-df2k"), content)
    assert catalogue.present(4) == ["hat-l-x4-imagenet", "swinir-x4-df2k"]


def test_a_file_without_a_known_hash_may_be_in_the_mirror(
    mirror: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = put(monkeypatch, "rcan-x4", model="hat-nano")
    (mirror / entry.file).write_bytes(content)
    assert catalogue.fetch("rcan-x4") == mirror / entry.file
    assert files.load("rcan-x4").scale == 4


# --- commands -------------------------------------------------------------------------------------


def test_evaluate_with_released_weights(
    entry: catalogue.Weights, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    save_image(folder / "cat.png", builtin_image("cat")[:64, :64])
    table = tmp_path / "t.json"
    assert (
        app.main(["evaluate", "--model", entry.name, "--data", str(folder), "--json", str(table)])
        == 0
    )
    assert "mean of 1" in capfd.readouterr().out
    assert json.loads(table.read_text(encoding="utf-8"))["model"] == entry.name


def test_the_scale_is_compared_before_the_download(
    server: Server, entry: catalogue.Weights
) -> None:
    with pytest.raises(HatlibError, match="hat-x4-imagenet upscales ×4, and --scale asks for 3"):
        options.load_model(entry.name, 3)
    assert server.asked == []


def test_a_reported_value_without_ssim_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / "cat.png", builtin_image("cat")[:32, :32])
    monkeypatch.setattr(measure, "set_size", lambda _: 1)
    monkeypatch.setattr(
        reported, "reported", lambda *_: reported.Reported(28.06, None, "somewhere")
    )
    assert app.main(["evaluate", "--model", "bicubic", "--data", str(tmp_path)]) == 0
    assert re.search(
        r"reported: 28\.06 dB \(difference [+-]\d+\.\d\d dB\); from somewhere\n",
        capfd.readouterr().out,
    )


def test_models_lists_networks_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(
        models, "names", lambda: ["bicubic", "srcnn", "swinir-light", "hat", "hat-nano"]
    )  # the quicker
    assert app.main(["models", "--json", str(tmp_path / "m.json")]) == 0
    out = capfd.readouterr().out
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.strip()}
    assert (
        "6×6 blocks, 180 channels, window 16 20,772,507 102.29 33.18 28.37 ImageNet->DF2K"
        in lines["hat"]
    )
    assert "28.42 23.14" in lines["bicubic"] and "kernels 9-5-5 57,281" in lines["srcnn"]
    assert (
        "fetch 165.8 33.30 28.60" in lines["hat-l-x4-imagenet"] and "by hand" in lines["drct-l-x4"]
    )
    assert set(catalogue.names()) <= set(lines)
    content = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    row = next(row for row in content["networks"] if row["name"] == "swinir-light")
    assert row["parameters"] == 929_628 and row["multiply_adds"] == pytest.approx(4.36e9, rel=0.02)
    assert row["weights"] == ["swinir-light-x2", "swinir-light-x3", "swinir-light-x4"]
    assert row["reported"]["set5"] == {
        "psnr": 32.44,
        "ssim": 0.8976,
        "source": "JingyunLiang/SwinIR figs/lightweight_image_sr.png",
    }
    assert [row["name"] for row in content["weights"]] == catalogue.names()
    assert not (tmp_path / "data").exists()  # looking changes nothing


def test_configurations_in_a_few_words() -> None:
    assert model_table.configuration("rcan") == "10×20 blocks, 64 channels"
    assert model_table.configuration("drct-l") == "12×6 blocks, 180 channels, window 16"
    assert model_table.configuration("nearest") == "no parameters"
