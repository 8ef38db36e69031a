import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hatlib import HatlibError, checkpoints, models


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.create("srcnn", 3, kernels=(9, 1, 5)).eval()


def test_what_was_saved_comes_back(model, tmp_path):
    checkpoints.save(model, tmp_path / "w.safetensors", "srcnn", kernels=(9, 1, 5))
    again = checkpoints.load(tmp_path / "w.safetensors")
    lr = torch.rand(1, 3, 9, 8)
    assert again.scale == 3 and not again.training
    assert torch.equal(again(lr), model(lr))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_that_do_not_fit_their_name_are_not_written(model, tmp_path):
    with pytest.raises(HatlibError, match="do not fit"):
        checkpoints.save(model, tmp_path / "w.safetensors", "srcnn")
    with pytest.raises(HatlibError, match=r"saved as \.safetensors"):
        checkpoints.save(model, tmp_path / "w.pth", "srcnn", kernels=(9, 1, 5))
    assert not list(tmp_path.iterdir())


def test_names_without_weights_load_and_others_are_explained():
    assert checkpoints.load("bicubic", 2).scale == 2
    with pytest.raises(HatlibError, match="no trained weights"):
        checkpoints.load("srcnn")
    with pytest.raises(HatlibError, match="did you mean 'bicubic'"):
        checkpoints.load("bicubc")
    with pytest.raises(HatlibError, match="no such file"):
        checkpoints.load("missing.safetensors")


def test_files_that_are_not_ours_are_refused(model, tmp_path):
    text = tmp_path / "text.safetensors"
    text.write_text("these are not weights")
    with pytest.raises(HatlibError, match="not a safetensors file"):
        checkpoints.load(text)
    pickled = tmp_path / "weights.pth"
    torch.save(model.state_dict(), pickled)
    with pytest.raises(HatlibError, match="not a safetensors file"):
        checkpoints.load(pickled)
    anonymous = tmp_path / "anonymous.safetensors"
    save_file(model.state_dict(), anonymous)
    with pytest.raises(HatlibError, match="does not say which network"):
        checkpoints.load(anonymous)


def test_a_truncated_or_incomplete_file_is_refused(model, tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoints.save(model, path, "srcnn", kernels=(9, 1, 5))
    with safe_open(path, framework="pt") as file:
        less = {key: file.get_tensor(key) for key in file.keys() if key != "conv2.bias"}  # noqa: SIM118
        save_file(less, tmp_path / "less.safetensors", metadata=file.metadata())
    with pytest.raises(HatlibError, match=r"does not fit srcnn: .*conv2\.bias"):
        checkpoints.load(tmp_path / "less.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(HatlibError, match="damaged"):
        checkpoints.load(path)
