"""hatlib.system.torch_settings: what torch keeps once for the process is changed while it is needed
and put back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import hatlib
from hatlib.system import torch_settings


def flags() -> tuple[bool, bool]:
    """Whether convolutions and matrix products may use TF32."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(autouse=True)
def as_torch_has_it() -> Iterator[None]:
    """Convolutions in TF32, products not; and so again afterwards."""
    torch_settings.allow_tf32(False)
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch_settings.allow_tf32(False)
    torch.backends.cudnn.allow_tf32 = True


def test_tf32_is_off_or_on_inside_and_afterwards_as_before() -> None:
    for allowed in (False, True):
        with torch_settings.tf32(allowed):
            assert flags() == (allowed, allowed)
        assert flags() == (True, False)


def test_what_is_strict_counts_inside_what_is_not() -> None:
    with torch_settings.tf32(True):  # a training
        with torch_settings.tf32(False):  # its validation
            assert flags() == (False, False)
        assert flags() == (True, True)


def test_an_error_puts_it_back() -> None:
    with pytest.raises(ZeroDivisionError), torch_settings.tf32(False):
        _ = 1 / 0
    assert flags() == (True, False)


def test_another_thread_does_not_allow_what_one_forbids() -> None:
    inside, done = threading.Event(), threading.Event()

    def strict() -> None:
        with torch_settings.tf32(False):
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=strict)
    thread.start()
    inside.wait(60)
    with torch_settings.tf32(True):
        assert flags() == (False, False)
        done.set()
        thread.join()
        assert flags() == (True, True)
    assert flags() == (True, False)


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="from torch 2.9 on"
)
def test_the_newer_way_of_saying_it_is_heard_too() -> None:
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    convolutions.fp32_precision = "tf32"
    with torch_settings.tf32(False):
        assert convolutions.fp32_precision == "ieee"
    assert convolutions.fp32_precision == "tf32"


def test_hello_forbids_tf32_for_what_is_written_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert flags() == (True, False)
    hatlib.hello()
    assert flags() == (False, False)
    assert "hatlib" in capsys.readouterr().out


def test_deterministic_is_asked_for_inside_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with torch_settings.deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with torch_settings.deterministic():
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_the_random_state_of_a_gpu_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    set_to: list[torch.Tensor] = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.tensor([7, 8]))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: set_to.append(state))
    states = torch_settings.random_states(gpu)
    assert states.keys() == {"random", "random_cuda"}
    assert torch_settings.random_states(cpu).keys() == {"random"}

    torch_settings.restore_random_states(gpu, states)
    assert [state.tolist() for state in set_to] == [[7, 8]]
    torch_settings.restore_random_states(cpu, states)  # taken on a GPU, resumed without
    torch_settings.restore_random_states(gpu, torch_settings.random_states(cpu))  # and back
    assert len(set_to) == 1
