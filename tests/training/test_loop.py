"""The training loop: what it learns, what goes wrong in it, and runs that are interrupted and
resumed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from hatlib import HatlibError, Recipe, evaluate, fit, models
from hatlib.data import builtin, datasets
from hatlib.imaging.resize import imresize
from hatlib.training import checkpoint, loop, recipes
from hatlib.training.callbacks import Callback, Validation
from hatlib.training.loop import STOP_SIGNALS, Stopped
from hatlib.training.state import Run
from tests.helpers import ROOT
from tests.helpers.training import IMAGES, RECIPE, same, train
from tests.models.test_gpu import check_gradients

# --- learning -------------------------------------------------------------------------------------


def test_training_beats_bicubic_on_an_image_it_did_not_see() -> None:
    hr = builtin.builtin_image("facade-3")[:160, :160]
    pair = datasets.Pair("facade-3", imresize(hr, 1 / 4), hr)
    validation = Validation([pair], every=150)
    recipe = Recipe(
        options={"kernels": (9, 1, 5)}, patch_size=10, batch_size=4, steps=150, precision="fp32"
    )
    run = fit(recipe, IMAGES, callbacks=[validation], progress=False)
    bicubic = evaluate(models.create("bicubic"), [pair]).psnr.mean()
    assert validation.steps == [150]
    assert validation.psnr[-1] > bicubic + 0.1
    assert np.mean(run.losses[-20:]) < np.mean(run.losses[:20])
    assert not run.ema_model.training


def test_half_of_notebook_03s_training_beats_bicubic_on_set5_by_half_a_decibel(
    needs_data: Any,
) -> None:
    needs_data("set5", "t91")
    pairs = list(datasets.load("set5"))
    recipe = Recipe(steps=150, batch_size=8, patch_size=12)
    run = fit(recipe, datasets.hr_images("t91"), progress=False)
    bicubic, trained = (
        evaluate(model, pairs).psnr.mean() for model in (models.create("bicubic"), run.ema_model)
    )
    assert trained - bicubic >= 0.5


@pytest.mark.parametrize("name", ["rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4"])
def test_a_few_steps_of_each_nano_recipe_beat_the_upscaling_that_it_starts_with(name: str) -> None:
    pair = datasets.Pair("coffee", imresize(IMAGES[0], 1 / 4), IMAGES[0])
    start = models.create(name.removesuffix("-x4"), 4).eval()
    recipe = recipes.recipe(
        name, patch_size=16, batch_size=4, steps=80, warmup_steps=5, ema_decay=0.9
    )
    run = fit(recipe, IMAGES, start, progress=False)
    before, after = (evaluate(model, [pair]).psnr.mean() for model in (start, run.ema_model))
    assert after > before + 0.3
    assert run.skipped == 0


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    assert same(train(steps=5), train(steps=5))
    assert not same(train(steps=5), train(steps=5, seed=1))


def test_what_callbacks_take_is_not_training_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow(run: Run) -> None:
        clock[0] += 100

    run = train(steps=2, callbacks=[slow])
    assert run.seconds == run.waiting == 0.0 and clock[0] == 200


def test_a_given_network_is_where_training_starts_and_stays_as_it_is() -> None:
    first: Any = train().ema_model
    before = first.conv1.weight.clone()
    second: Any = fit(RECIPE, IMAGES, model=first, progress=False)
    assert torch.equal(first.conv1.weight, before)
    assert second.losses[0] == pytest.approx(train(steps=1).losses[0], rel=0.5)
    assert not torch.equal(second.ema_model.conv1.weight, before)


def test_the_loop_that_notebook_09_writes_by_hand_is_this_one() -> None:
    path = ROOT / "notebooks" / "09_train_hat.ipynb"
    cells = [
        "".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    names: dict[str, Any] = {}
    for start in ("import copy\n", "def train_by_hand("):
        (cell,) = [cell for cell in cells if f"\n{start}" in f"\n{cell}"]
        exec("import hatlib\n" + cell, names)
    recipe = dataclasses.replace(
        RECIPE, loss="l1", max_grad_norm=0.1, schedule="trapezoid", warmup_steps=3, steps=12
    )
    by_hand, lengths = names["train_by_hand"](recipe, IMAGES)
    whole = fit(recipe, IMAGES, progress=False)
    assert 0 < sum(length > 0.1 for length in lengths) <= len(lengths) == 12, (
        "clipping has to matter here"
    )
    for key, value in whole.ema_model.state_dict().items():
        # the answers of its exercises are the same arithmetic, rounded in another order
        theirs = by_hand.state_dict()[key]
        assert torch.allclose(value, theirs.to(value), rtol=1e-3, atol=1e-6), key


def weights(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    """The first convolution's, and their average."""
    first, second = (next(model.parameters()) for model in (run.model, run.ema_model))
    return first, second


def test_the_average_follows_the_weights() -> None:
    now, average = weights(train(learning_rate=1e-9))
    assert torch.allclose(now, average, atol=1e-6)
    moving, average = weights(train(ema_decay=0.9))
    assert not torch.equal(moving, average)
    plain, same_as_plain = weights(train(ema_decay=0.0))
    assert torch.equal(plain, same_as_plain)
    assert torch.equal(plain, moving)  # the average only watches


def test_without_a_warm_up_the_average_stays_near_the_start() -> None:
    _, warm = weights(train(steps=20))
    _, cold = weights(train(steps=20, ema_warmup=False))
    start, _ = weights(train(steps=1, learning_rate=1e-12))
    assert (cold - start).norm() < 0.1 * (warm - start).norm()


def test_the_average_has_the_statistics_of_batch_norms() -> None:
    tiny: dict[str, Any] = {"embed_dim": 32, "depths": (2,), "num_heads": 2, "split_size": (4, 8)}
    run = train(model="dat-light", options=tiny, steps=3)
    now, averaged = (
        {key: value for key, value in model.state_dict().items() if "running_" in key}
        for model in (run.model, run.ema_model)
    )
    assert now and all(torch.equal(now[key], averaged[key]) for key in now)
    start = models.create("dat-light", **tiny).state_dict()
    assert not any(torch.equal(now[key], start[key]) for key in now)


# --- gradients that are not finite ----------------------------------------------------------------


def test_a_step_that_is_not_finite_is_skipped_and_counted() -> None:
    def spoil(run: Any) -> None:
        if run.step == 3:  # the next batch has a hole
            run.sampler.hr[:] = 0
            run.model.conv3.bias.data.fill_(float("nan"))
        if run.step == 4:
            run.model.conv3.bias.data.zero_()

    run = train(steps=8, callbacks=[spoil])
    assert run.skipped == 1 and np.isnan(run.losses[3]) and np.isfinite(run.losses[4:]).all()
    assert all(torch.isfinite(weight).all() for weight in run.ema_model.parameters())


def test_too_many_of_them_end_the_run_with_advice() -> None:
    model: Any = models.create("srcnn")
    with torch.no_grad():
        model.conv3.bias.fill_(float("inf"))
    with pytest.raises(
        HatlibError, match="20 steps in a row, up to step 20; try a smaller learning_rate"
    ):
        fit(Recipe(steps=30, batch_size=2, patch_size=8), IMAGES, model=model, progress=False)


# --- interrupted and resumed ----------------------------------------------------------------------


def at(step: int, *numbers: signal.Signals) -> Callback:
    """A callback that raises signals after a step."""

    def callback(run: Run) -> None:
        for number in numbers if run.step == step else ():
            signal.raise_signal(number)

    return callback


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_lets_the_step_end_and_one_more_call_resumes(
    tmp_path: Path, number: signal.Signals
) -> None:
    whole = train(steps=12)
    before = {each: signal.getsignal(each) for each in STOP_SIGNALS}
    with pytest.raises(Stopped) as stopped:
        train(tmp_path, [at(5, number)], steps=12)
    assert stopped.value.signal == number and isinstance(stopped.value, KeyboardInterrupt)
    assert {each: signal.getsignal(each) for each in STOP_SIGNALS} == before
    steps: list[int] = []
    assert same(train(tmp_path, [lambda run: steps.append(run.step)], steps=12), whole)
    assert steps == list(range(6, 13))


def test_a_finished_run_is_read_and_not_done_again(tmp_path: Path) -> None:
    whole = train(tmp_path, steps=3)
    written = (tmp_path / checkpoint.NAME).stat().st_mtime_ns

    def never(run: Run) -> None:
        raise AssertionError("a step was done")

    assert same(train(tmp_path, [never], steps=3), whole)
    assert (tmp_path / checkpoint.NAME).stat().st_mtime_ns == written


def test_a_second_ctrl_c_stops_at_once_and_the_checkpoint_before_is_good(tmp_path: Path) -> None:
    constant: dict[str, Any] = {"schedule": "trapezoid", "cooldown": 0.0}
    train(tmp_path, steps=3, **constant)
    before = (tmp_path / checkpoint.NAME).read_bytes()
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(tmp_path, [at(5, signal.SIGINT, signal.SIGINT)], steps=12, **constant)
    assert not isinstance(stopped.value, Stopped)
    assert (tmp_path / checkpoint.NAME).read_bytes() == before
    assert os.listdir(tmp_path) == [checkpoint.NAME]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_terminal_that_closes_may_say_so_twice(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, [at(5, signal.SIGHUP, signal.SIGHUP)], steps=12)
    assert checkpoint.read(tmp_path / checkpoint.NAME).facts["step"] == 5


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_under_nohup_a_terminal_that_closes_changes_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert train(callbacks=[at(2, signal.SIGHUP)], steps=4).step == 4
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_two_runs_do_not_share_their_stop(tmp_path: Path) -> None:
    """A run inside a callback of another is stopped alone."""
    inner: list[Run] = []

    def nested(run: Run) -> None:
        if run.step == 2:
            with pytest.raises(Stopped):
                train(callbacks=[at(1, signal.SIGINT), inner.append], steps=3)

    outer = train(callbacks=[nested], steps=4)
    assert [run.step for run in inner] == [1] and outer.step == 4


SCRIPT = """
import os, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
import torch
from hatlib.training import callbacks
from tests.helpers.training import train
torch.set_num_threads(1)
callbacks.Checkpointing.__init__.__defaults__ = ({every},)
def slowly(run):
    os.write(1, f"{{run.step}}\\n".encode())  # a line at once: two processes share the pipe
    time.sleep({pause})
train(Path({folder!r}), [slowly], steps={steps})
print("done")
"""


def launch(
    folder: Path,
    pause: float = 0.0,
    steps: int = 60,
    launcher: tuple[str, ...] = (),
    every: float = 0.0,
) -> subprocess.Popen[str]:
    """A training in a process of its own, with a checkpoint every so many seconds."""
    text = SCRIPT.format(root=str(ROOT), folder=str(folder), pause=pause, steps=steps, every=every)
    script = folder.with_suffix(".py")
    script.write_text(text, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, *launcher, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_run_that_was_killed_five_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    rng, folder = np.random.default_rng(0), tmp_path / "run"
    for _ in range(5):
        process = launch(folder, pause=0.02)
        assert process.stdout is not None
        process.stdout.readline()  # it has done a step
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.communicate()
    killed = launch(folder)
    out, errors = killed.communicate(timeout=120)
    assert out.endswith("done\n"), errors
    assert 1 < int(out.split()[0]) <= 60, "the five runs before left it something to resume from"
    torch.set_num_threads(1)
    assert same(train(folder), train())


# --- the folder -----------------------------------------------------------------------------------


def test_two_runs_in_one_folder_do_not_lose_one(tmp_path: Path) -> None:
    def second(run: Run) -> None:
        if run.step == 2:
            with pytest.raises(HatlibError, match=r"another program \(train\) writes to"):
                train(tmp_path, steps=9)

    first = train(tmp_path, [second], steps=4)
    assert first.step == 4 and checkpoint.read(tmp_path / checkpoint.NAME).facts["step"] == 4
    assert os.listdir(tmp_path) == [checkpoint.NAME]
    train(tmp_path, steps=4)  # the lock has ended with the run


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_another_program_is_kept_out_until_the_first_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = launch(folder, pause=5.0)
    assert process.stdout is not None
    process.stdout.readline()  # it has done a step
    with pytest.raises(HatlibError, match="another program"):
        train(folder)
    process.kill()
    process.communicate()
    assert train(folder).step == RECIPE.steps


def test_a_run_outlives_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def remove(run: Run) -> None:
        if run.step == 3:
            shutil.rmtree(folder)

    train(folder, [remove], steps=5)
    assert checkpoint.read(folder / checkpoint.NAME).facts["step"] == 5


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not say")
def test_a_resumed_run_does_not_keep_its_old_file(tmp_path: Path) -> None:
    def maps() -> bool:
        return str(tmp_path) in Path("/proc/self/maps").read_text()

    with pytest.raises(Stopped):
        train(tmp_path, [at(5, signal.SIGTERM)], steps=12)
    mapped = checkpoint.read(tmp_path / checkpoint.NAME)
    assert maps(), "the test would see it"
    del mapped
    kept: list[bool] = []
    train(tmp_path, [lambda run: kept.append(maps())], steps=12)
    assert kept == [False] * 7


# --- compiled -------------------------------------------------------------------------------------


@pytest.fixture
def compiled_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """torch.compile without the minute in which it generates code; the list gets its options."""
    calls: list[dict[str, Any]] = []
    original = torch.compile

    def compile(model: torch.nn.Module, mode: str | None, **options: Any) -> Any:
        calls.append({"mode": mode, **options})
        return original(model, backend="aot_eager", fullgraph=True, **options)

    monkeypatch.setattr(torch, "compile", compile)
    return calls


def test_a_compiled_run_is_the_same_and_goes_on_without(
    compiled_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    torch.compiler.reset()
    tiny = {"embed_dim": 24, "depths": (2,), "num_heads": 2, "squeeze_factor": 6}
    recipe = recipes.recipe(
        "hat-nano-x4",
        options={**tiny, "drop_path_rate": 0},
        patch_size=8,
        batch_size=2,
        warmup_steps=1,
        precision="fp32",
        steps=4,
    )
    first: list[list[torch.Tensor]] = []

    def note(run: Run) -> None:
        if run.step == 1:
            first.append([p.grad.clone() for p in run.model.parameters() if p.grad is not None])

    eager = fit(recipe, IMAGES, callbacks=[note], progress=False)
    with pytest.raises(Stopped):
        fit(
            recipe,
            IMAGES,
            callbacks=[note, at(2, signal.SIGTERM)],
            progress=False,
            folder=tmp_path,
            compiled="reduce-overhead",
        )
    assert compiled_calls == [{"mode": "reduce-overhead", "dynamic": False}]
    check_gradients(*first)
    resumed = fit(recipe, IMAGES, progress=False, folder=tmp_path)
    assert resumed.step == 4 and len(compiled_calls) == 1
    assert resumed.losses == pytest.approx(eager.losses, rel=1e-3)


def test_an_unknown_mode_of_compiling_is_named() -> None:
    with pytest.raises(HatlibError, match="did you mean 'reduce-overhead'"):
        fit(RECIPE, IMAGES, progress=False, compiled="reduce_overhead")


# --- several processes ----------------------------------------------------------------------------


def two_processes() -> tuple[str, ...]:
    """What launches a script twice."""
    pytest.importorskip("torch.distributed")
    port = str(29500 + os.getpid() % 1000)
    return ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2 in the environment and RANK is not set"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is many"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is 0"),
        ({"PMI_SIZE": "4"}, "PMI_RANK is not set"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_RANK is not set"),
    ],
)
@pytest.mark.timeout(60)  # it hung
def test_what_another_program_left_in_the_environment_is_named(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(HatlibError, match=words):
        train(steps=1)


def test_no_buffers_are_sent_before_each_step() -> None:
    handler = loop._accelerator().ddp_handler
    assert handler is not None and not handler.broadcast_buffers


def assert_follows(folder: Path, steps: int) -> None:
    one, two = train(steps=steps), train(folder, steps=steps)
    assert two.step == steps
    for key, value in one.model.state_dict().items():
        assert torch.allclose(value, two.model.state_dict()[key], rtol=0, atol=1e-5), key


def test_two_processes_with_half_the_batch_follow_one_with_all_of_it(tmp_path: Path) -> None:
    process = launch(tmp_path / "two", launcher=two_processes(), steps=20)
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0 and out.count("done") == 2, errors
    assert "Warning" not in errors, errors
    assert_follows(tmp_path / "two", 20)


def test_a_signal_that_comes_while_the_processes_ask_each_other_is_not_lost() -> None:
    run = SimpleNamespace(stop_signal=None)

    def gather(mine: torch.Tensor) -> torch.Tensor:
        run.stop_signal = signal.SIGTERM
        return torch.cat([mine, mine])  # the others heard nothing either

    two = SimpleNamespace(num_processes=2, device="cpu", gather=gather)
    assert not loop._stopping(cast(Any, run), cast(Any, two))  # they all go on: nobody waits
    assert loop._stopping(cast(Any, run), cast(Any, two))
    assert run.stop_signal is signal.SIGTERM


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process there")
def test_two_processes_stop_after_the_same_step_and_resume(tmp_path: Path) -> None:
    folder = tmp_path / "two"
    process = launch(folder, 0.5, launcher=two_processes(), steps=40, every=1000.0)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "3":
            break
    process.terminate()
    _, errors = process.communicate(timeout=100)
    assert (folder / checkpoint.NAME).is_file(), errors
    saved = checkpoint.read(folder / checkpoint.NAME)
    assert 3 <= saved.facts["step"] < 40
    process = launch(folder, launcher=two_processes(), steps=40)
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0 and out.count("done") == 2, errors
    assert_follows(folder, 40)


# --- the same bits --------------------------------------------------------------------------------


def test_a_deterministic_run_asks_torch_for_it_while_it_trains() -> None:
    asked: list[bool] = []

    def note(run: Run) -> None:
        asked.append(torch.are_deterministic_algorithms_enabled())

    recipe = dataclasses.replace(RECIPE, steps=2)
    fit(recipe, IMAGES, callbacks=[note], progress=False)
    fit(recipe, IMAGES, callbacks=[note], progress=False, deterministic=True)
    assert asked == [False, False, True, True]
    assert not torch.are_deterministic_algorithms_enabled()
