"""Ten checks of a hybrid attention block (HAB), one for each of ten mistakes in a survey's HAB.

Each check is independent: recorders replace the block's layers, so that a check sees a layer's
input whether or not the rest of the block works. The block has the interface of the released code
and of the survey: `HAB(dim, input_resolution, num_heads, window_size, shift_size, …)` with the
layers norm1, attn, conv_block, norm2 and mlp, and `forward(x, x_size)` or
`forward(x, x_size, rpi_sa, attn_mask)`. Used in notebook 08.

The trials have N images of H×W tokens with C channels, h heads, and windows of w×w, shifted by w/2.
"""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from unittest import mock

import torch
from torch import nn

from hatlib.course.exercises.console import show
from hatlib.course.exercises.probes import Wrong, close, expect
from hatlib.models.window_attention import (
    attention_mask,
    partition,
    relative_position_index,
    reverse,
)

N, H, W, C, HEADS, WINDOW, SHIFT, ALPHA = 2, 12, 8, 60, 3, 4, 2, 0.5
T = WINDOW * WINDOW
LAYERS = ("norm1", "attn", "conv_block", "norm2", "mlp")  # those that hold parameters
Block = Callable[..., Any]  # the class HAB
Layer = Callable[[torch.Tensor], torch.Tensor]


class Recorder(nn.Module):
    """Stands in for a layer: records its input and returns a function of it."""

    def __init__(self, function: Layer):
        super().__init__()
        self.function = function
        self.given: list[Any] = []  # positional, then by keyword

    def forward(self, x: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        self.given = [x, *more, *named.values()]
        return self.function(x)


@dataclass
class Trial:
    """One run of a block: its input, what its layers were given, its result or error."""

    x: torch.Tensor  # (N, H·W, C)
    layers: dict[str, Recorder]
    result: torch.Tensor | None = None
    error: Exception | None = None
    cut: list[torch.Size] = field(default_factory=list)  # shapes given to window_partition
    joined: list[torch.Size] = field(default_factory=list)  # and to window_reverse

    def given(self, layer: str) -> list[Any]:
        """A layer's arguments; raises Wrong if the layer was not reached."""
        if not self.layers[layer].given:
            raise Wrong(
                f"self.{layer} is not reached" + (f": {one_line(self.error)}" if self.error else "")
            )
        return self.layers[layer].given

    def end(self) -> torch.Tensor:
        """The block's result; raises Wrong if there is none."""
        if self.result is None:
            raise Wrong(
                f"there is no result: {one_line(self.error)}"
                if self.error
                else "nothing is returned"
            )
        return self.result


def one_line(error: Exception | None) -> str:
    """An error in one short line."""
    text = " ".join(str(error).split())
    return text if len(text) <= 80 else text[:79] + "…"


def same(x: torch.Tensor) -> torch.Tensor:
    return x


def run(
    make: Block,
    layers: Mapping[str, Layer] = MappingProxyType({}),
    shift: int = SHIFT,
    repair: bool = True,
    train: bool = False,
    drop_path: float | None = None,
) -> Trial:
    """Makes a block, replaces its layers by recorders, and runs it once.

    Args:
        layers: name → function that the recorder computes; by default norms and attention return
            their input, other layers zeros.
        shift: of the windows, in tokens.
        repair: whether a block without a window_size gets one, so that the other checks can run it.
    """
    functions: dict[str, Layer] = {
        "norm1": same,
        "attn": same,
        "conv_block": torch.zeros_like,
        "norm2": same,
        "mlp": torch.zeros_like,
        **layers,
    }
    generator = torch.Generator().manual_seed(0)
    trial = Trial(
        torch.randn(N, H * W, C, generator=generator),
        {name: Recorder(function) for name, function in functions.items()},
    )
    more = {} if drop_path is None else {"drop_path": drop_path}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        block = make(
            C, (H, W), HEADS, window_size=WINDOW, shift_size=shift, conv_scale=ALPHA, **more
        ).train(train)
        for name, recorder in trial.layers.items():
            setattr(block, name, recorder)
        if repair and not hasattr(block, "window_size"):
            block.window_size = WINDOW
        arguments: list[Any] = [trial.x.clone(), (H, W)]
        if {"rpi_sa", "attn_mask"} <= set(inspect.signature(block.forward).parameters):
            arguments += [index(), mask()]
        with lenient_windows(make, trial):
            try:
                trial.result = block(*arguments)
            except Exception as error:
                trial.error = error
    return trial


def index() -> torch.Tensor:
    return relative_position_index(WINDOW)


def mask() -> torch.Tensor:
    return attention_mask(H, W, WINDOW, SHIFT)


@contextlib.contextmanager
def lenient_windows(make: Block, trial: Trial) -> Iterator[None]:
    """Lends the block a window_partition and window_reverse that record and take any shape."""

    def window_partition(x: torch.Tensor, window: int) -> torch.Tensor:
        trial.cut.append(x.shape)
        return partition(x.reshape(N, H, W, C), window, window).unflatten(1, (window, window))

    def window_reverse(windows: torch.Tensor, window: int, h: int, w: int) -> torch.Tensor:
        trial.joined.append(windows.shape)
        x = reverse(windows.reshape(-1, window * window, C), window, window, h, w)
        return x.reshape(trial.cut[-1]) if trial.cut else x

    names = getattr(make, "forward").__globals__  # noqa: B009  (a class, of which only the call is declared)
    lent = {"window_partition": window_partition, "window_reverse": window_reverse}
    with mock.patch.dict(
        names, {name: function for name, function in lent.items() if name in names}
    ):
        yield


# ---- the ten checks: each raises Wrong with the mistake ------------------------------------------


def shape(x: Any) -> str:
    return str(tuple(x.shape))


def window_size_is_kept(make: Block) -> None:
    error = run(make, repair=False).error
    expect(not (isinstance(error, AttributeError) and "window_size" in str(error)), one_line(error))


def tokens_become_a_map(make: Block) -> None:
    trial = run(make)
    for got in trial.cut:
        expect(
            len(got) == 4,
            f"window_partition gets {tuple(got)}; it takes a map (B, H, W, C), and so does roll",
        )
    wanted = partition(trial.x.view(N, H, W, C).roll((-SHIFT, -SHIFT), (1, 2)), WINDOW, WINDOW)
    expect(
        close(trial.given("attn")[0].reshape(-1, T, C), wanted),
        "the windows do not hold the shifted map's tokens",
    )
    expect(
        trial.end().shape == trial.x.shape,
        f"the result is {shape(trial.end())}; the block took {shape(trial.x)}",
    )


def cab_gets_an_image(make: Block) -> None:
    trial = run(make)
    got, wanted = trial.given("conv_block")[0], trial.x.view(N, H, W, C).permute(0, 3, 1, 2)
    expect(
        got.shape == wanted.shape,
        f"the CAB gets {shape(got)}; a convolution takes (B, C, H, W), {shape(wanted)}",
    )
    rolled = trial.x.view(N, H, W, C).roll((-SHIFT, -SHIFT), (1, 2)).permute(0, 3, 1, 2)
    expect(not close(got, rolled), "the CAB gets the rolled map; it takes the map before the shift")
    expect(
        close(got, wanted),
        "the CAB gets the right shape but scrambled values: view does not permute",
    )


def norm_comes_first(make: Block) -> None:
    trial = run(make, {"norm1": lambda x: x + 100, "attn": torch.zeros_like})
    expect(bool(trial.layers["norm1"].given), "norm1 is created but never used")
    expect(trial.given("attn")[0].min() > 50, "attention gets the map before norm1")
    expect(
        trial.given("conv_block")[0].min() > 50,
        "the CAB gets the map before norm1; both branches take it after",
    )
    expect(
        bool((trial.end() < 50).all()),
        "the shortcut is taken after norm1; it is the block's input x",
    )
    expect(
        not close(trial.end(), torch.zeros_like(trial.end())),
        "the block's input is lost: both residual sums have to pass it on",
    )
    # the MLP's norm, in a block whose attention and CAB add nothing
    second = run(
        make, {"attn": torch.zeros_like, "norm2": lambda x: x + 100, "mlp": torch.zeros_like}
    )
    expect(bool(second.layers["norm2"].given), "norm2 is created but never used")
    into_mlp, into_norm2 = second.given("mlp")[0], second.given("norm2")[0]
    expect(
        bool((second.end() < 50).all()) or into_mlp.min() > 50,
        "norm2 comes before the MLP, not after it",
    )
    expect(bool(into_mlp.min() > 50), "the MLP gets the map before norm2; it takes it after")
    expect(
        bool((second.end() < 50).all()),
        "the MLP's shortcut is taken after norm2; it is what norm2 was given",
    )
    expect(into_norm2.min() < 50, "norm2 gets another map than the sum of the branches")


def windows_are_sequences(make: Block) -> None:
    trial = run(make)
    got, count = trial.given("attn")[0], N * H * W // T
    expect(
        tuple(got.shape) == (count, T, C),
        f"attention gets {shape(got)}; it takes tokens, {(count, T, C)}",
    )
    for back in trial.joined:
        expect(
            len(back) == 4,
            f"window_reverse gets {tuple(back)}; it joins windows of {WINDOW}×{WINDOW}",
        )


def positions_are_known(make: Block) -> None:
    tensors = [x for x in run(make).given("attn")[1:] if isinstance(x, torch.Tensor)]
    known = [x for x in tensors if not x.is_floating_point() and close(x, index())]
    expect(
        bool(known),
        "attention gets no relative position index: it cannot tell where in its window a token is",
    )


def masks(trial: Trial) -> list[torch.Tensor]:
    """Every mask that the attention was given."""
    return [
        x for x in trial.given("attn")[1:] if isinstance(x, torch.Tensor) and x.is_floating_point()
    ]


def opposite_borders_are_masked(make: Block) -> None:
    wanted = mask()
    got = [x for x in masks(run(make)) if x.numel() % wanted.numel() == 0]
    right = any(bool((x.reshape(-1, *wanted.shape) == wanted).all()) for x in got)
    expect(
        right,
        "no mask where windows are shifted: tokens from opposite borders attend to each other",
    )
    expect(
        not any(bool(x.any()) for x in masks(run(make, shift=0))), "a mask where nothing is shifted"
    )


def map_is_rolled_back(make: Block) -> None:
    trial = run(make)
    # the attention returns its input: with the shortcut twice x, and x where that is missing
    end = trial.end().reshape(trial.x.shape)
    expect(
        close(end, 2 * trial.x, 1e-5) or close(end, trial.x, 1e-5) or not bool(end.any()),
        f"not rolled back: the attention's result for a token is added to the one {SHIFT} up and "
        "left",
    )


def depth_is_stochastic(make: Block) -> None:
    expect(
        "drop_path" in inspect.signature(make).parameters,
        "no drop_path: no branch is ever dropped in training",
    )
    nothing: dict[str, Layer] = dict.fromkeys(("attn", "conv_block", "mlp"), torch.zeros_like)
    if not bool(run(make, nothing).end().any()):
        return  # a residual sum is missing, which another check says, and nothing can be told here
    ones: dict[str, Layer] = dict.fromkeys(("attn", "conv_block", "mlp"), torch.ones_like)
    trial, rest = (run(make, ones, train=train, drop_path=1 - 1e-9) for train in (True, False))
    left, whole = ((t.end().reshape(t.x.shape) - t.x).mean().item() for t in (trial, rest))
    expect(close(whole, 2 + ALPHA, 1e-3), "something is dropped in eval mode, too")
    expect(not close(left, 0.0, 1e-3), "drop_path drops the CAB as well; HAT always keeps it")
    expect(
        not close(left, 1 + ALPHA, 1e-3),
        "drop_path drops only one of attention and MLP; both need it",
    )
    expect(
        close(left, ALPHA, 1e-3),
        "at a rate of 1, training drops attention and MLP and keeps the CAB",
    )


def sizes_are_hats(make: Block) -> None:
    mistakes = []
    parameters = inspect.signature(make).parameters
    with torch.random.fork_rng(devices=[]):
        block = make(C, (64, 64), HEADS)
        hidden = next(
            layer.out_features for layer in block.mlp.modules() if isinstance(layer, nn.Linear)
        )
        if hidden != 2 * C:
            mistakes.append(f"the MLP has {hidden / C:g}·C inside (HAT: 2·C)")
        own = [name for name, _ in block.named_parameters() if name.split(".")[0] not in LAYERS]
        if own:
            mistakes.append(f"{own[0]} is learned (HAT: α is a constant)")
        if "conv_scale" in parameters and parameters["conv_scale"].default != 0.01:
            given = parameters["conv_scale"].default
            mistakes.append(f"α is {given} by default (HAT: 0.01)")
        if parameters["window_size"].default != 16:
            mistakes.append(f"windows of {parameters['window_size'].default} (HAT: 16)")
        if not {"compress_ratio", "squeeze_factor"} <= set(parameters):
            mistakes.append("no β and no squeeze factor for the CAB (HAT-S has 24 and 24)")
        elif convolutions(
            make(144, (64, 64), 6, compress_ratio=24, squeeze_factor=36).conv_block
        ) != [6, 144, 4, 144]:
            mistakes.append("β and the squeeze factor do not reach the CAB")
    expect(not mistakes, "; ".join(mistakes))


def convolutions(layers: nn.Module) -> list[int]:
    """Output channels of each convolution, in order."""
    return [layer.out_channels for layer in layers.modules() if isinstance(layer, nn.Conv2d)]


CHECKS: dict[str, Callable[[Block], None]] = {
    "keeps its window size": window_size_is_kept,
    "turns its tokens into a map": tokens_become_a_map,
    "gives the CAB an image": cab_gets_an_image,
    "applies the norms first": norm_comes_first,
    "gives attention sequences": windows_are_sequences,
    "knows positions": positions_are_known,
    "masks tokens from opposite borders": opposite_borders_are_masked,
    "rolls back": map_is_rolled_back,
    "has stochastic depth": depth_is_stochastic,
    "has HAT's sizes": sizes_are_hats,
}


def hab_findings(make: Block) -> dict[str, str]:
    """The ten checks of a HAB: title → what is wrong, or "" if nothing is."""
    findings = {}
    for title, check in CHECKS.items():
        try:
            check(make)
            findings[title] = ""
        except Wrong as mistake:
            findings[title] = str(mistake)
        except Exception as error:
            findings[title] = f"{type(error).__name__}: {one_line(error)}"
    return findings


def hab_checks(make: Block, reveal: bool = True) -> None:
    """Prints the ten checks of a class HAB: ✓, or ✗ with what is wrong. Never raises.

    Args:
        reveal: False prints only how many pass, for a reader who still looks for the mistakes.
    """
    findings = hab_findings(make)
    lines = []
    if reveal:
        for k, (title, mistake) in enumerate(findings.items(), start=1):
            lines.append(f"{'✗' if mistake else '✓'} {k:2}  {title}")
            lines += textwrap.wrap(mistake, 76, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines.append(
        f"{sum(not mistake for mistake in findings.values())} of {len(findings)} checks passed"
    )
    show("\n".join(lines))
