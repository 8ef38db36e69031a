"""What comes from outside is checked by declared limits: each case is a line, and each gives one
line of words."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hatlib
from hatlib import HatlibError, Recipe, models
from hatlib.imaging import degradation
from hatlib.models.hat import HATConfig
from hatlib.training import recipes
from hatlib.validation import Count, Depths, SetName, checked, shown, words

NAN, INF, HUGE = math.nan, math.inf, 10**6000
IMAGE = np.zeros((24, 24, 3), np.uint8)

RECIPES: dict[str, list[Any]] = {
    "learning_rate": [NAN, INF, 0, -1, [1], None, "abc", True, HUGE],
    "max_grad_norm": [NAN, INF, 0, -1, "x", [1]],
    "ema_decay": [NAN, 1, -0.1, "x", None],
    "betas": [5, (0.9,), [], (0.9, 1), (NAN, 0.9), ("a", "b"), None, (0.9, 0.9, 0.9)],
    "milestones": [None, ("a",), (1.5,), (-1,), {}],
    "warmup_steps": ["abc", -1, 1.5, None, NAN, HUGE],
    "seed": [-1, None, 1.5, "x", 2**32, True, HUGE],
    "model": ["bicubic", 5, None, "", ["hat"]],
    "options": [5, None, [], "x", {"a": 1}, {5: 1}, {"kernels": (9,)}, {"kernels": (8, 5, 5)}],
    "steps": [0, 1.5, "10", None, True, NAN, HUGE, 10**12],
    "patch_size": [0, -4, 1.5, "x", 10**9],
    "batch_size": [0, "8", True, 10**12],
    "scale": [0, "4", 4.0, None],
    "cooldown": [NAN, 2, "x", None],
    "data": [None, (5,), 5, ("",), {}],
    "loss": [5, None, ["l1"], ""],
    "schedule": [5, None, []],
    "precision": [5, None, ["fp32"], NAN],
    "ema_warmup": [5, "yes", None],
}
NETWORKS: dict[str, list[dict[str, Any]]] = {
    "srcnn": [
        {"kernels": (9,)},
        {"kernels": (8, 5, 5)},
        {"kernels": (10_001, 1, 1)},
        {"kernels": None},
        {"features": (64,)},
        {"features": (0, 1)},
        {"features": (10**9, 1)},
    ],
    "swinir": [
        *[{"window_size": value} for value in (0, 1, 1.5, "8", 10**9, None)],
        *[{"num_heads": value} for value in (0, 7, -1, "x")],
        *[{"embed_dim": value} for value in (0, 48.5, 48.0, 10**9, "x")],
        *[{"depths": value} for value in ((), 5, (0,), (1.5,), None, (10**9,), (6,) * 10**6)],
        *[{"mlp_ratio": value} for value in (0, -1, NAN, 1e9, "x", 0.001)],
        *[{"drop_path_rate": value} for value in (2, -1, NAN, 1)],
        *[{"upsampler": value} for value in (5, None, "x")],
        {"shifted": "x"},
        {"depths": (100,) * 100},
        {"embed_dim": 4096, "num_heads": 1, "depths": (100,)},
    ],
    "hat": [
        *[{"squeeze_factor": value} for value in (0, 1000, "x")],
        *[{"compress_ratio": value} for value in (0, 10**6)],
        *[{"conv_scale": value} for value in (NAN, "x", INF)],
        *[{"overlap_ratio": value} for value in (100, NAN, -1, "x", INF)],
        {"window_size": 64, "overlap_ratio": 2.0},
    ],
    "rcan": [
        *[{"groups": value} for value in (-1, 0, 10**7, 1.5)],
        *[{"blocks": value} for value in (0, 10**6)],
        *[{"features": value} for value in (0, "x", 8)],
        {"reduction": 0},
        {"groups": 100, "blocks": 100},
    ],
    "drct": [{"growth": value} for value in (0, -5, "x", 10**6)],
    "dat": [
        *[{"split_size": v} for v in ((8,), 5, (0, 0), (8, 12), (1024, 1024), "ab")],
        *[{"expansion_factor": value} for value in (0, NAN, 0.01)],
        *[{"num_heads": value} for value in (0, 3)],
        {"resi_connection": 5},
        {"embed_dim": 16},
    ],
}


def bicubic() -> models.Network:
    return models.create("bicubic")


def fit(recipe: Any, images: Any, **options: Any) -> None:
    hatlib.fit(recipe, images, progress=False, **options)


def odd(*values: Any) -> tuple[Any, ...]:
    return values


TINY = Recipe(patch_size=4, steps=1)
FUNCTIONS: list[Callable[[], Any]] = [
    *[lambda v=v: hatlib.psnr(IMAGE, IMAGE, shave=v) for v in odd(1.5, NAN, "x", None, HUGE, -1)],
    *[lambda v=v: hatlib.ssim(IMAGE, IMAGE, channel=v) for v in odd(5, None, ["y"])],
    *[
        lambda v=v: hatlib.imresize(IMAGE, v)
        for v in odd("x", NAN, INF, [2], True, 10**400, 1e300, 1e-9)
    ],
    *[lambda v=v: hatlib.imresize(IMAGE, size=v) for v in odd(5, (1.5, 2), (1, 2, 3), ("a", 1))],
    *[lambda v=v: hatlib.imresize(IMAGE, 2, border=v) for v in odd(5, [])],
    *[lambda v=v: hatlib.degrade(IMAGE, scale=v) for v in odd("x", 2.0, NAN, True)],
    *[lambda v=v: hatlib.degrade(IMAGE, noise_sigma=v) for v in odd("x", NAN, None, [1])],
    *[lambda v=v: hatlib.degrade(IMAGE, kernel=v) for v in odd(5, "x", {}, [[NAN]], [[1j]])],
    *[lambda v=v: hatlib.degrade(IMAGE, noise_sigma=1, rng=v) for v in odd("x", -1, 1.5)],
    *[lambda v=v: degradation.gaussian_kernel(v) for v in odd("x", None, NAN, 1e5, 1e300)],
    *[lambda v=v: degradation.motion_kernel(5, v) for v in odd("x", NAN)],
    *[lambda v=v: degradation.resize(IMAGE, v) for v in odd(5, (1.5, 2))],
    *[lambda v=v: hatlib.load_dataset(v) for v in odd(5, None, b"builtin", "")],
    *[lambda v=v: hatlib.load_dataset("builtin", limit=v) for v in odd(1.5, "x", True, 0)],
    *[lambda v=v: hatlib.load_dataset("builtin", every=v) for v in odd(1.5, NAN, None, 0)],
    *[lambda v=v: hatlib.upscale(bicubic(), IMAGE, tile=v) for v in odd(1.5, NAN, "x", True, -1)],
    *[lambda v=v: hatlib.upscale(bicubic(), IMAGE, precision=v) for v in odd(5, None, ["fp32"])],
    *[lambda v=v: hatlib.upscale(v, IMAGE) for v in odd(5, None, "bicubic", torch.nn.ReLU())],
    lambda: hatlib.upscale(bicubic(), IMAGE, progress=5),  # type: ignore[arg-type]
    *[lambda v=v: hatlib.evaluate(bicubic(), v) for v in odd(5, None, [5], [("a", IMAGE)])],
    *[lambda v=v: hatlib.evaluate(bicubic(), [], shave=v) for v in odd("x", NAN)],
    lambda: hatlib.evaluate(bicubic(), [], channel=5),  # type: ignore[arg-type]
    *[
        lambda v=v: hatlib.lam(bicubic(), IMAGE, v)
        for v in odd(5, (0, 0), (0, 0, 1.5), "abc", None)
    ],
    *[lambda v=v: hatlib.lam(bicubic(), IMAGE, (0, 0, 8), steps=v) for v in odd(1.5, NAN, 10**12)],
    *[lambda v=v: hatlib.lam(bicubic(), IMAGE, (0, 0, 8), batch=v) for v in odd(1.5, "x", 0)],
    *[lambda v=v: fit(v, [IMAGE]) for v in odd(5, None, {"steps": 1})],
    *[lambda v=v: fit(TINY, v) for v in odd(5, None)],
    *[lambda v=v: fit(TINY, [IMAGE], callbacks=v) for v in odd(5, [5])],
    *[lambda v=v: fit(TINY, [IMAGE], model=v) for v in odd(5, models.create("srcnn", 2))],
    lambda: fit(TINY, [IMAGE], model=bicubic()),
    lambda: fit(TINY, [IMAGE], folder=5),
    *[lambda v=v: hatlib.adapt(torch.nn.ReLU(), halo=v) for v in odd(1.5, NAN, "x")],
    *[lambda v=v: hatlib.adapt(torch.nn.ReLU(), multiple=v) for v in odd(0, 1.5, "x")],
    *[lambda v=v: hatlib.load_model(v) for v in odd(5, None, b"x", "")],
    *[lambda v=v: hatlib.save_image(v, IMAGE) for v in odd(5, None)],
    *[lambda v=v: hatlib.crop_to_multiple(IMAGE, v) for v in odd(0, 1.5, "x")],
    *[lambda v=v: hatlib.to_image(v) for v in odd(5, None)],
    *[lambda v=v: hatlib.builtin_image(v) for v in odd(5, None)],
]


def refused(call: Callable[[], Any]) -> str:
    """The message; one line, no longer than a paragraph."""
    with pytest.raises(HatlibError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600
    return text


@pytest.mark.parametrize("field", RECIPES)
def test_a_recipe_refuses_what_cannot_be(field: str) -> None:
    for value in RECIPES[field]:
        refused(lambda value=value: Recipe(**{field: value}))  # type: ignore[misc]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_refuses_what_cannot_be(name: str) -> None:
    for options in NETWORKS[name]:
        refused(lambda options=options: models.create(name, **options))  # type: ignore[misc]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_a_public_function_refuses_arguments_of_a_wrong_kind(number: int) -> None:
    refused(FUNCTIONS[number])


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("learning_rate=nan", NAN),
        ("learning_rate=inf", INF),
        ("learning_rate=1e309", INF),
        ("steps=0", 0),
        ("seed=None", None),
        ("betas=(0.9,)", (0.9,)),
        ("model=bicubic", "bicubic"),
        ("options=5", 5),
        ("warmup_steps=abc", "abc"),
    ],
)
def test_python_settings_and_files_say_the_same(typed: str, value: Any) -> None:
    name = typed.partition("=")[0]
    in_python = refused(lambda: Recipe(**{name: value}))
    in_settings = refused(lambda: recipes.recipe("srcnn-x4", **recipes.settings([typed])))
    in_file = refused(lambda: recipes.from_json({name: value}))
    assert in_python == in_settings == in_file


@pytest.mark.parametrize("text", ["seed=" + "[" * 500, "options={[]:1}", "steps=" + "9" * 6000])
def test_strange_settings_are_text(text: str) -> None:
    refused(lambda: recipes.recipe("srcnn-x4", **recipes.settings([text])))


def test_messages_have_the_value_and_the_limits() -> None:
    said = refused(lambda: Recipe(steps=0))
    assert said == "steps is 0; it is a whole number from 1 to 1,000,000,000"
    assert refused(lambda: Recipe(step=5)).startswith(  # type: ignore[call-arg]
        "unknown setting 'step'; did you mean 'steps'?"
    )
    assert "about 6,001 digits" in refused(lambda: Recipe(steps=HUGE))
    assert len(shown((6,) * 10**5)) < 100
    assert words({"type": "number", "exclusiveMinimum": 0}) == "a number above 0"


def test_what_is_as_good_is_taken() -> None:
    recipe = Recipe(
        steps=np.int64(5),  # type: ignore[arg-type]
        learning_rate=np.float32(0.5),  # type: ignore[arg-type]
        betas=[0.9, 0.99],  # type: ignore[arg-type]
        milestones=5,  # type: ignore[arg-type]
        data=Path("photos"),  # type: ignore[arg-type]
        max_grad_norm=1,
    )
    assert (recipe.steps, recipe.learning_rate, recipe.betas) == (5, 0.5, (0.9, 0.99))
    assert (recipe.milestones, recipe.data) == ((5,), ("photos",))
    assert type(recipe.steps) is int
    assert checked("depths", [1, np.int64(2)], Depths) == (1, 2)
    assert checked("limit", None, Count | None) is None
    assert checked("data", Path("a"), SetName) == "a"


def test_a_configuration_is_a_dataclass_like_any_other() -> None:
    config = HATConfig(depths=(2, 2))
    assert pickle.loads(pickle.dumps(config)) == config == copy.deepcopy(config)
    assert dataclasses.replace(config, window_size=8).overlap_side == 12
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.window_size = 4  # type: ignore[misc]
    refused(lambda: dataclasses.replace(config, window_size=0))
