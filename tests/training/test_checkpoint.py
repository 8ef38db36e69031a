"""Checkpoints: what may differ when a run is resumed, what is refused, files of hatlib 0.1, and the
weights that are exported."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hatlib import HatlibError, fit, load_model
from hatlib.data import builtin, datasets
from hatlib.imaging.resize import imresize
from hatlib.system import machine
from hatlib.training import checkpoint, recipes
from hatlib.training.callbacks import Callback, Validation
from hatlib.training.state import Run
from hatlib.weights import files
from tests.helpers.training import IMAGES, RECIPE, same, train

CONSTANT: dict[str, Any] = {"schedule": "trapezoid", "cooldown": 0.0, "warmup_steps": 2}


def interrupt(folder: Path, step: int, *callbacks: Callback, **changes: Any) -> None:
    """Trains until a step."""

    def stop(run: Run) -> None:
        if run.step == step:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(folder, [*callbacks, stop], **changes)


def test_a_trapezoid_can_be_made_longer_before_its_cooldown_begins(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"schedule": "trapezoid", "warmup_steps": 2, "cooldown": 0.5}
    interrupt(tmp_path, 10, steps=20, **changes)
    assert same(train(tmp_path, steps=24, **changes), train(steps=24, **changes))
    with pytest.raises(
        HatlibError, match="is at step 24 of 24, and with steps=30 the learning rates"
    ):
        train(tmp_path, steps=30, **changes)


def test_a_checkpoint_of_another_recipe_or_none_of_ours_is_refused(tmp_path: Path) -> None:
    train(tmp_path, steps=2)
    with pytest.raises(HatlibError, match=r"another recipe \(batch_size 4, now 2\)"):
        train(tmp_path, steps=2, batch_size=2)
    (tmp_path / checkpoint.NAME).write_text("not a checkpoint")
    with pytest.raises(HatlibError, match="is not a checkpoint of a training run"):
        train(tmp_path, steps=2)


def test_another_recipe_is_refused_before_the_images_are_decoded(tmp_path: Path) -> None:
    train(tmp_path, steps=2)

    def decode() -> Any:
        raise AssertionError("an image was decoded")
        yield

    with pytest.raises(HatlibError, match="another recipe"):
        fit(_recipe(steps=2, seed=1), decode(), folder=tmp_path, progress=False)


def test_a_checkpoint_holds_the_random_state_of_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, restored = torch.arange(16, dtype=torch.uint8), []
    monkeypatch.setattr(checkpoint, "_device", lambda run: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: state)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda value, device: restored.append(value))
    interrupt(tmp_path, 3, steps=6)
    assert torch.equal(checkpoint.read(tmp_path / checkpoint.NAME).tensors["random_cuda"], state)
    train(tmp_path, steps=6)
    assert len(restored) == 1 and torch.equal(restored[0], state)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES[:1], r"other images \(2 images before, 1 now\); choose another folder"),
        (IMAGES[::-1], r"as many, 2, but other pixels or another order"),
        ([IMAGES[0], IMAGES[1] ^ 1], r"as many, 2, but other pixels or another order"),
    ],
)
def test_other_images_are_refused(tmp_path: Path, images: list[np.ndarray], words: str) -> None:
    interrupt(tmp_path, 2, **CONSTANT)
    with pytest.raises(HatlibError, match=words):
        fit(_recipe(**CONSTANT), images, folder=tmp_path, progress=False)
    assert train(tmp_path, **CONSTANT).step == RECIPE.steps  # the right ones are not


def _recipe(**changes: Any) -> recipes.Recipe:
    return dataclasses.replace(RECIPE, **changes)


def test_a_resumed_run_has_the_whole_curve(tmp_path: Path) -> None:
    hr = builtin.builtin_image("cat")[:64, :64]
    pairs = [datasets.Pair("cat", imresize(hr, 1 / 4), hr)]
    whole = train(callbacks=[Validation(pairs, 2)], steps=8)
    interrupt(tmp_path, 5, Validation(pairs, 2), steps=8)
    validation = Validation(pairs, 2)
    resumed = train(tmp_path, [validation], steps=8)
    assert resumed.curves == whole.curves
    assert validation.steps == [2, 4, 6, 8]
    assert train(tmp_path, steps=8).curves == whole.curves  # and so has a finished one


def as_in_01(path: Path) -> None:
    """Rewrites a checkpoint in the names of hatlib 0.1."""
    saved = checkpoint.read(path)
    names = {"model": "network", "ema_model": "model"}
    tensors = {}
    for key, value in saved.tensors.items():
        prefix, dot, rest = key.partition(".")
        tensors[names.get(prefix, prefix) + dot + rest] = value
    old = {new: old for old, new in recipes.RENAMED.items()}
    recipe = {old.get(name, name): value for name, value in saved.facts["recipe"].items()}
    del recipe["ema_warmup"], saved.facts["images"], saved.facts["curves"], saved.facts["computed"]
    if recipe["schedule"] == "multistep":
        recipe["schedule"] = "halving"
    checkpoint.write(path, tensors, {**saved.facts, "recipe": recipe})


@pytest.mark.parametrize(
    "changes", [{}, {"schedule": "multistep", "milestones": (3, 9), "max_grad_norm": 0.1}]
)
def test_a_run_of_hatlib_01_is_resumed(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / checkpoint.NAME
    interrupt(tmp_path, 5, steps=12, **changes)
    as_in_01(path)
    assert any(key.startswith("network.") for key in _keys(path))
    run = train(tmp_path, steps=12, **changes)
    assert same(run, train(steps=12, **changes))
    assert run.computed == {"not recorded": 5, f"{machine.hardware()}, fp32": 7}
    assert not any(key.startswith("network.") for key in _keys(path))


def _keys(path: Path) -> list[str]:
    """The names of the tensors as they are in the file."""
    contents = path.read_bytes()
    return list(json.loads(contents[8 : 8 + int.from_bytes(contents[:8], "little")]))


def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits on file sizes")
    folder = tmp_path / "run"
    before = train(folder, steps=3, **CONSTANT)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # writing more fails, as on a disk with 1000 bytes
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(HatlibError, match=r"cannot write .*run.safetensors: File too large"):
            train(folder, steps=6, **CONSTANT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(folder) == [checkpoint.NAME]
    assert same(train(folder, steps=3, **CONSTANT), before)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HatlibError, match="cannot write to the folder"):
        train(tmp_path / "file", [lambda run: pytest.fail("a step was done")])


def test_the_exported_weights_are_the_averaged_ones_with_their_recipe(tmp_path: Path) -> None:
    run = train(steps=3)
    line = checkpoint.export(run, tmp_path / "srcnn.safetensors")
    assert "3 steps in" in line and "0 steps skipped" in line
    model = load_model(tmp_path / "srcnn.safetensors")
    for key, value in run.ema_model.state_dict().items():
        assert torch.equal(model.state_dict()[key], value.cpu())
    card = files.card(tmp_path / "srcnn.safetensors")["training"]
    assert recipes.differences(recipes.Recipe(**card["recipe"]), run.recipe) == []


def test_a_card_says_what_computed_each_part_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on() -> str:
        path = tmp_path / "weights.safetensors"
        checkpoint.export(train(tmp_path, steps=6), path)
        return files.card(path)["training"]["hardware"]

    monkeypatch.setattr(machine, "hardware", lambda: "cpu, 1 thread")
    interrupt(tmp_path, 2, steps=6)
    monkeypatch.setattr(machine, "hardware", lambda: "NVIDIA L4")
    assert on() == "cpu, 1 thread, fp32 (2 steps) and NVIDIA L4, fp32 (4 steps)"
    (tmp_path / checkpoint.NAME).unlink()
    assert on() == "NVIDIA L4, fp32"


WRONG_LOSSES: list[Any] = [5, ["a"], None, []]
WRONG_IMAGES: list[Any] = [5, {}, []]
WRONG_CURVES: list[Any] = [5, {"a": 5}, {"a": [5]}]
WRONG_RECIPES: list[Any] = [5, None, {"new_field": 5}, {"model": "newnet"}]
WRONG_SAMPLERS: list[Any] = [5, {}, {"bit_generator": "MT19937"}]
DAMAGED_FACTS: list[dict[str, Any]] = [
    *[{"step": value} for value in (-1, "x", None, 10**9, 1.5)],
    *[{"losses": value} for value in WRONG_LOSSES],
    *[{"seconds": value} for value in ("x", -1, float("nan"))],
    *[{"curves": value} for value in WRONG_CURVES],
    *[{"images": value} for value in WRONG_IMAGES],
    *[{"sampler": value} for value in WRONG_SAMPLERS],
    *[{"recipe": value} for value in WRONG_RECIPES],
    *[{"computed": value} for value in (5, None, {"cpu": -1})],
    {"skipped": "x"},
    {"waiting": None},
    {"format": 99},
]
DAMAGED_TENSORS: list[tuple[str, Any]] = [
    ("random", None),
    ("random", torch.zeros(3, dtype=torch.uint8)),
    ("random", torch.zeros(3)),
    ("model.conv1.weight", None),
    ("model.conv1.weight", torch.zeros(1)),
    ("model.conv1.weight", torch.full((8, 1, 5, 5), torch.nan)),
    ("ema_model.x", torch.zeros(2)),
    ("optimiser.0.exp_avg", None),
    ("optimiser.0.exp_avg", torch.zeros(2)),
    ("optimiser.99.exp_avg", torch.zeros(2)),
    ("optimiser.x.exp_avg", torch.zeros(2)),
]


def test_a_damaged_checkpoint_is_refused_in_one_line_and_stays_as_it_is(tmp_path: Path) -> None:
    train(tmp_path, steps=2)
    path = tmp_path / checkpoint.NAME
    good = checkpoint.read(path)
    cases = [(good.tensors, {**good.facts, **facts}) for facts in DAMAGED_FACTS]
    for name, tensor in DAMAGED_TENSORS:
        others = {key: value for key, value in good.tensors.items() if key != name}
        cases.append((others if tensor is None else {**others, name: tensor}, good.facts))
    for tensors, facts in cases:
        checkpoint.write(path, tensors, facts)
        before = path.read_bytes()
        with pytest.raises(HatlibError) as caught:
            train(tmp_path, steps=2)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        assert path.read_bytes() == before


def test_a_run_that_took_no_time_is_exported(tmp_path: Path) -> None:
    run = train(steps=2)
    run.seconds = run.waiting = 0.0
    assert "0.0% of them" in checkpoint.export(run, tmp_path / "w.safetensors")
