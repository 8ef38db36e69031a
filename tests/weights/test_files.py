import os
import pickle
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hatlib import HatlibError, models
from hatlib.models import window_attention
from hatlib.weights import architectures, files
from tests.helpers import reference


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.create("srcnn", 3, kernels=(9, 1, 5)).eval()


# --- our own files --------------------------------------------------------------------------------


def test_what_was_saved_comes_back(model, tmp_path):
    files.save(model, tmp_path / "w.safetensors", "srcnn", kernels=(9, 1, 5))
    again = files.load(tmp_path / "w.safetensors")
    lr = torch.rand(1, 3, 9, 8)
    assert again.scale == 3 and not again.training
    assert torch.equal(again(lr), model(lr))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("name", ["rcan-nano", "swinir-nano", "hat-nano"])
def test_networks_with_a_configuration_come_back_too(name, tmp_path):
    torch.manual_seed(0)
    made = models.create(name, 2, **({} if name == "rcan-nano" else {"depths": (2, 1)})).eval()
    files.save(
        made,
        tmp_path / "w.safetensors",
        name,
        **({} if name == "rcan-nano" else {"depths": (2, 1)}),
    )
    again, lr = files.load(tmp_path / "w.safetensors"), torch.rand(1, 3, 8, 16)
    assert again.config == made.config and [p.requires_grad for p in again.parameters()] == [
        p.requires_grad for p in made.parameters()
    ]
    with torch.inference_mode():
        assert torch.equal(again(lr), made(lr))


def test_weights_that_do_not_fit_their_name_are_not_written(model, tmp_path):
    with pytest.raises(
        HatlibError, match=r"do not fit .*: its conv2\.weight is \(32, 64, 1, 1\) and should be"
    ):
        files.save(model, tmp_path / "w.safetensors", "srcnn")
    with pytest.raises(HatlibError, match=r"saved as \.safetensors"):
        files.save(model, tmp_path / "w.pth", "srcnn", kernels=(9, 1, 5))
    assert not list(tmp_path.iterdir())


def test_names_without_weights_load_and_others_are_explained():
    assert files.load("bicubic", 2).scale == 2
    for name in ("srcnn", "hat-l"):
        with pytest.raises(HatlibError, match="weights have a name of their own"):
            files.load(name)
    with pytest.raises(HatlibError, match="did you mean 'bicubic'"):
        files.load("bicubc")
    with pytest.raises(HatlibError, match="no such file"):
        files.load("missing.safetensors")
    with pytest.raises(HatlibError, match="no such file"):
        files.load("missing.pth")


def test_a_truncated_or_incomplete_file_of_ours_is_refused(model, tmp_path):
    path = tmp_path / "w.safetensors"
    files.save(model, path, "srcnn", kernels=(9, 1, 5))
    with safe_open(path, framework="pt") as file:
        less = {key: file.get_tensor(key) for key in file.keys() if key != "conv2.bias"}  # noqa: SIM118
        save_file(less, tmp_path / "less.safetensors", metadata=file.metadata())
    with pytest.raises(HatlibError, match=r"does not fit: it lacks conv2\.bias \(32,\)$"):
        files.load(tmp_path / "less.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(HatlibError, match="damaged"):
        files.load(path)


@pytest.mark.parametrize(
    "card", ["{", "{}", '{"model": "srcnn"}', '{"model": "sr", "scale": 3, "options": {}}']
)
def test_a_card_that_says_nothing_sensible_is_refused(model, tmp_path, card):
    save_file(model.state_dict(), tmp_path / "w.safetensors", metadata={"hatlib": card})
    with pytest.raises(HatlibError, match=r"does not say rightly|unknown model 'sr'"):
        files.load(tmp_path / "w.safetensors")


# --- published files ------------------------------------------------------------------------------

WRAPPINGS = {
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params_ema": state},
    "both": lambda state: {
        "params": {key: 0 * value for key, value in state.items()},
        "params_ema": state,
    },
    "flat": lambda state: state,
}


def options(expected):
    return {"conv_scale": 0.2} if expected.architecture == "HAT" else {}  # what no tensor tells


def assert_computes(loaded, expected):
    assert not loaded.training
    for lr, sr in expected.pairs:
        with torch.inference_mode():
            assert (loaded(lr) - sr).abs().max() < 1e-5


@pytest.mark.parametrize("name", reference.PAIRS)
def test_published_tensors_say_which_network_they_belong_to(name, tmp_path):
    expected = reference.load(name)
    torch.save({"params": expected.tensors}, tmp_path / "w.pth")
    loaded = files.load(tmp_path / "w.pth", **options(expected))
    assert type(loaded).__name__ == expected.architecture
    assert loaded.config == expected.create().config
    assert_computes(loaded, expected)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("name", ["rcan_x2_tiny", "swinir_light_x4_tiny"])
def test_each_wrapping_loads(name, wrapping, old, tmp_path):
    expected = reference.load(name)
    torch.save(
        WRAPPINGS[wrapping](expected.tensors),
        tmp_path / "w.pth",
        _use_new_zipfile_serialization=not old,
    )
    assert_computes(files.load(tmp_path / "w.pth"), expected)


@pytest.mark.parametrize("name", ["rcan_x3_tiny", "hat_x2_tiny"])
def test_published_tensors_in_safetensors_load(name, tmp_path):
    expected = reference.load(name)
    save_file(expected.tensors, tmp_path / "w.safetensors")
    assert_computes(files.load(tmp_path / "w.safetensors", **options(expected)), expected)


def test_half_precision_is_widened(tmp_path):
    expected = reference.load("rcan_x2_tiny")
    torch.save({key: value.half() for key, value in expected.tensors.items()}, tmp_path / "w.pth")
    assert {value.dtype for value in files.load(tmp_path / "w.pth").parameters()} == {torch.float32}


def test_a_network_trained_without_shifts_is_recognised(tmp_path):
    """The published code leaves shifts out where img_size ≤ window_size; its file then has indices
    and no masks."""
    tensors = {
        k: v
        for k, v in reference.load("swinir_x2_tiny").tensors.items()
        if not k.endswith("attn_mask")
    }
    torch.save(tensors, tmp_path / "w.pth")
    assert files.load(tmp_path / "w.pth").config.shifted is False
    torch.save({k: v for k, v in tensors.items() if not k.endswith("index")}, tmp_path / "w.pth")
    assert files.load(tmp_path / "w.pth").config.shifted is True


BLOCK = "layers.0.residual_group.blocks.1"
SPOILT = {  # what is done to a file → what is said about it
    "missing": (
        lambda t: t.pop(f"{BLOCK}.attn.proj.weight"),
        rf"it lacks {BLOCK}\.attn\.proj\.weight \(24, 24\)$",
    ),
    "missing first": (
        lambda t: t.pop("conv_first.weight"),
        r"it lacks conv_first\.weight, from which the size",
    ),
    "several": (
        lambda t: [t.pop(f"layers.{i}.conv.bias") for i in (0, 1)],
        r"it lacks layers\.0\.conv\.bias \(24,\) and 1 more like it",
    ),
    "misshaped": (
        lambda t: t.update({"norm.weight": torch.ones(25)}),
        r"its norm\.weight is \(25,\) and should be \(24,\)",
    ),
    "extra": (
        lambda t: t.update({"layers.0.scale": torch.ones(1)}),
        r"tensor that the network has not: layers\.0\.s",
    ),
    "no tensor": (
        lambda t: t.update({"epoch": 3}),
        "holds something else than tensors: 'epoch' is int",
    ),
}
WRONG_BUFFERS = {
    "hat_x2_tiny": (
        "relative_position_index_OCA",
        lambda t: t - t.min(),
    ),  # counted from 0: the well-meant correction
    "hat_x4_w16_tiny": ("relative_position_index_SA", lambda t: t.T.contiguous()),
    "swinir_x2_tiny": (f"{BLOCK}.attn_mask", lambda t: t.flip(0).contiguous()),
    "drct_x4_tiny": ("layers.0.swin3.attn.relative_position_index", lambda t: t[:-1]),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_does_not_fit_is_named_in_one_line(spoil, tmp_path):
    change, said = SPOILT[spoil]
    tensors = reference.load("hat_x2_tiny").tensors
    change(tensors)
    torch.save({"params_ema": tensors}, tmp_path / "w.pth")
    with pytest.raises(HatlibError, match=said) as caught:
        files.load(tmp_path / "w.pth")
    assert "\n" not in str(caught.value) and str(tmp_path / "w.pth") in str(caught.value)


@pytest.mark.parametrize("name", WRONG_BUFFERS)
def test_a_wrong_table_is_refused(name, tmp_path):
    """It tells of a network that computes something else, whose weights would load and give a wrong
    picture."""
    tensors = reference.load(name).tensors
    key, spoil = WRONG_BUFFERS[name]
    tensors[key] = spoil(tensors[key])
    torch.save({"params": tensors}, tmp_path / "w.pth")
    with pytest.raises(
        HatlibError, match=rf"its {re.escape(key)} .* is not that of windows of (8×8|16×16)"
    ):
        files.load(tmp_path / "w.pth")


def test_relatives_that_we_do_not_have_are_refused(tmp_path):
    variants = [
        ("conv_up1.weight", "real-world SwinIR"),
        ("layers.0.conv.0.weight", "SwinIR-L"),
        ("upsample.4.weight", "×8"),
    ]
    for key, said in variants:
        torch.save(
            {**reference.load("swinir_x2_tiny").tensors, key: torch.ones(1)}, tmp_path / "w.pth"
        )
        with pytest.raises(HatlibError, match=said):
            files.load(tmp_path / "w.pth")
    torch.save(
        {"conv_first.weight": torch.ones(1), "RRDB.weight": torch.ones(1)}, tmp_path / "w.pth"
    )
    with pytest.raises(
        HatlibError, match=r"its tensors \(conv_first.weight, RRDB.weight …\) are not those of RCAN"
    ):
        files.load(tmp_path / "w.pth")
    with pytest.raises(HatlibError, match="unknown option of RCAN 'conv_scale'"):
        torch.save(reference.load("rcan_x2_tiny").tensors, tmp_path / "w.pth")
        files.load(tmp_path / "w.pth", conv_scale=0.2)


# --- files that are no weights --------------------------------------------------------------------


class Harmful:
    """What a hostile file does: unpickling it runs a command."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


FORMS = {
    "new": (lambda value, path: torch.save({"params": {"weight": value}}, path), torch.load),
    "old": (
        lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
        torch.load,
    ),
    "pickle": (lambda value, path: path.write_bytes(pickle.dumps(value)), None),
    "pickle 2": (
        lambda value, path: path.write_bytes(pickle.dumps([value, torch.ones(2)], protocol=2)),
        None,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_pickle_that_would_run_code_is_refused_and_not_run(form, tmp_path):
    (write, read), path, trace = FORMS[form], tmp_path / "w.pth", tmp_path / "it_ran"
    write(Harmful(str(trace)), path)
    with pytest.raises(
        HatlibError, match=r"is refused: it holds code \((posix|nt)\.mkdir\), and weights need none"
    ):
        files.load(path)
    assert not trace.exists()
    if read:  # the file is what we say it is
        read(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"these are not weights", b"<!DOCTYPE html><html>", b"", os.urandom(300)]
)
def test_files_that_hold_something_else_are_refused(content, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        HatlibError, match=r"w\.\w+ is not a (safetensors file|file of weights)"
    ) as caught:
        files.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("old", [True, False])
def test_a_truncated_file_is_refused(old, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(reference.load("rcan_x2_tiny").tensors, path, _use_new_zipfile_serialization=not old)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(HatlibError, match="or a damaged one") as caught:
        files.load(path)
    assert "\n" not in str(caught.value)


def test_a_list_and_a_whole_module_are_no_weights(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "w.pth")
    with pytest.raises(HatlibError, match="holds no tensors by name, but list"):
        files.load(tmp_path / "w.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(HatlibError, match=r"holds code \(torch\.nn\.modules\.linear\.Linear\)"):
        files.load(tmp_path / "w.pth")


@pytest.mark.parametrize("sides", [(8, 8), (64, 64), (16, 40), (40, 8), (560, 576)])
def test_a_mask_of_any_map_is_known_and_no_other(sides: tuple[int, int]) -> None:
    mask = window_attention.attention_mask(*sides, 8, 4)
    assert architectures.is_shift_mask(mask, 8)
    wrong = mask.clone()
    wrong[-1] = 0
    assert not architectures.is_shift_mask(wrong, 8)
    assert not architectures.is_shift_mask(-mask, 8)
