"""What every check tests beside the mistakes that it knows by name: the probes.

An exercise gives cases: inputs of several sizes and parameters, drawn at random, so that no
typed-in constant passes. For each of them the learner's function has to return what the solution
does: of its kind, its shape, its type, its values. Every call is watched besides: no argument may
change, a generator that is passed in has to be used, and what the text forbids must not be called.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

import numpy as np
import torch

COUNTS = {2: "two", 3: "three", 4: "four"}


class Wrong(Exception):
    """The attempt is wrong; the message names the mistake in the learner's terms."""


class Stopped(Wrong):
    """The attempt raised an error."""


def expect(condition: bool, mistake: str) -> None:
    """Raises Wrong(mistake) unless the condition holds."""
    if not condition:
        raise Wrong(mistake)


class Draw:
    """Random inputs. Two of one seed draw the same: one for the learner, one for the solution."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def array(self, *shape: int, low: float = 0, high: float = 1) -> np.ndarray:
        """float64, uniform from `low` to `high`."""
        return self.rng.uniform(low, high, shape)

    def image(self, height: int, width: int) -> np.ndarray:
        """uint8 (height, width, 3)."""
        return self.rng.integers(0, 256, (height, width, 3), dtype=np.uint8)

    def tensor(self, *shape: int) -> torch.Tensor:
        """float32, standard normal."""
        return torch.randn(*shape, generator=self.generator)

    def layer(self, outputs: int, *inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight (outputs, *inputs) and bias (outputs,) of a layer."""
        size = float(np.prod(inputs)) ** 0.5
        return self.tensor(outputs, *inputs) / size, self.tensor(outputs)


Cases = Callable[[Draw], Mapping[str, tuple[Any, ...]]]


# ---- kinds of results ----------------------------------------------------------------------------


def described(value: Any) -> str:
    """What somebody returned, in a few words."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}" if value.ndim else "one number"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, int | float | np.integer | np.floating):
        return "one number"
    if isinstance(value, tuple | list | Mapping):
        return f"a {type(value).__name__} of {len(value)}"
    names = {type(None): "nothing", str: "text", complex: "a complex number"}
    return names.get(type(value), f"a {type(value).__name__}")


def is_number(value: Any) -> bool:
    """Whether it is a real number: of Python, of numpy, or a tensor without axes."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim == 0
    numbers = int | float | np.integer | np.floating
    return isinstance(value, numbers) and not isinstance(value, bool)


def as_kind(got: Any, want: Any, returns: str = "") -> Any:
    """`got` as the kind of value that `want` is; raises Wrong where it is another kind.

    Args:
        returns: what is returned, where "two numbers" does not say enough.
    """
    said = described(got)
    if isinstance(got, tuple) and len(got) == 1 and not isinstance(want, tuple):
        raise Wrong(f"{_name(want)} was expected, not a tuple: is there a comma after `return …`?")
    if isinstance(want, bool):
        fits = isinstance(got, bool | np.bool_) or (
            isinstance(got, np.ndarray) and got.ndim == 0 and got.dtype == bool
        )
        expect(fits, f"True or False was expected, not {said}")
        return bool(got)
    if isinstance(want, torch.Tensor):
        expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {said}")
        return got
    if isinstance(want, np.ndarray):
        expect(isinstance(got, np.ndarray), f"an array of numpy was expected, not {said}")
        return got
    if is_number(want):
        expect(is_number(got), f"one number was expected, not {said}")
        return got.item() if isinstance(got, np.ndarray | torch.Tensor) else got
    if isinstance(want, tuple):
        return _as_tuple(got, want, returns)
    if isinstance(want, str):
        expect(isinstance(got, str), f"text was expected, not {said}")
    if isinstance(want, Mapping):
        expect(isinstance(got, Mapping), f"a dict was expected, not {said}")
    if isinstance(want, list):
        sequence = isinstance(got, Sequence) and not isinstance(got, str)
        expect(sequence, f"a list was expected, not {said}")
    return got


def _name(want: Any) -> str:
    """What a single result is called."""
    if isinstance(want, torch.Tensor):
        return "a tensor"
    if isinstance(want, np.ndarray):
        return "an array"
    return "one number" if is_number(want) else f"a {type(want).__name__}"


def _as_tuple(got: Any, want: tuple[Any, ...], returns: str) -> tuple[Any, ...]:
    things = "numbers" if all(map(is_number, want)) else "results"
    named = returns or f"{COUNTS.get(len(want), len(want))} {things}"
    several = isinstance(got, tuple | list) or (isinstance(got, np.ndarray) and got.ndim == 1)
    expect(several, f"{named} were expected, not {described(got)}")
    expect(len(got) == len(want), f"{named} were expected, not {len(got)}")
    return tuple(as_kind(a, b) for a, b in zip(got, want, strict=True))


# ---- comparison ----------------------------------------------------------------------------------


def numbers(value: Any) -> np.ndarray:
    """A number, an array or a tensor as float64."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value, dtype=np.float64)


def close(actual: Any, expected: Any, tolerance: float = 1e-6) -> bool:
    """Whether two numbers or arrays have one shape and agree to `tolerance`; None, NaN never do.

    Of two infinities of one sign it is true.
    """
    if actual is None:
        return False
    a, b = numbers(actual), numbers(expected)
    if a.shape != b.shape:
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.all((np.abs(a - b) <= tolerance) | ((a == b) & np.isinf(b))))


def recognise(got: Any, mistakes: Mapping[str, Any], tolerance: float = 1e-6) -> None:
    """Raises Wrong if `got` is the result of a known mistake: message → that result."""
    for mistake, result in mistakes.items():
        expect(not close(got, result, tolerance), mistake)


def difference(got: Any, want: Any, tolerance: float = 1e-6) -> str:
    """How a result differs from the right one, in words; "" if it does not.

    Args:
        tolerance: relative to the largest value, and absolute below 1.
    """
    if got is None or want is None:
        return "" if got is want else f"{described(want)} is right, not {described(got)}"
    if isinstance(want, str | bool):
        return "" if got == want else f"it is {want}, not {got}"
    if isinstance(want, Mapping):
        if set(got) != set(want):
            return f"its keys are {sorted(want)}, not {sorted(got)}"
        pairs = {f"{key}: ": (got[key], want[key]) for key in want}
    elif isinstance(want, tuple | list):
        if len(got) != len(want):
            return f"there are {len(want)} of them, not {len(got)}"
        pairs = {f"number {k + 1}: ": pair for k, pair in enumerate(zip(got, want, strict=True))}
    else:
        return _difference(got, want, tolerance)
    found = ((where, difference(a, b, tolerance)) for where, (a, b) in pairs.items())
    return next((where + words for where, words in found if words), "")


def unlike(got: Any, want: Any, tolerance: float) -> str:
    """How an array differs from one of the right shape and type, whatever its values; "" if not."""
    return _difference(np.zeros_like(got), np.zeros_like(want), tolerance)


def _difference(got: Any, want: Any, tolerance: float) -> str:
    sized = isinstance(want, np.ndarray | torch.Tensor)
    if sized and tuple(got.shape) != tuple(want.shape):
        return f"its shape is {tuple(want.shape)}, not {tuple(got.shape)}"
    if sized and got.dtype != want.dtype:
        return f"its type is {want.dtype}, not {got.dtype}"
    largest = np.abs(numbers(want)[np.isfinite(numbers(want))]).max(initial=1.0)
    if close(got, want, tolerance * float(largest)):
        return ""
    if not sized:
        return f"it is {want:.6g}, not {got:.6g}"
    apart = np.abs(numbers(got) - numbers(want))
    if not np.isfinite(numbers(got)).all():
        return "some values are not finite"
    share = (apart > tolerance * largest).mean()
    return f"{share:.0%} of the values differ, by up to {apart.max():.3g}"


# ---- watching a call -----------------------------------------------------------------------------


class Guard:
    """The learner's function as a check calls it; raises `Wrong` where a call goes wrong.

    Args:
        attempt: the learner's function.
        names: of its arguments, as the stub has them.
        none_is_an_answer: elsewhere None means that `return` was forgotten.
        forbidden: name of a function that must not be called → what to say about it.
        returns: what is returned, where it is several things.
    """

    def __init__(
        self,
        attempt: Callable[..., Any],
        names: Sequence[str] = (),
        none_is_an_answer: bool = False,
        forbidden: Mapping[str, str] | None = None,
        returns: str = "",
    ):
        functools.update_wrapper(self, attempt, updated=())
        self.attempt = attempt
        self.names = names
        self.none_is_an_answer = none_is_an_answer
        self.forbidden = dict(forbidden or {})
        self.returns = returns
        self.like: Any = None  # a result of the kind that is expected
        self.last: Any = None  # what the function returned
        self.unused_generator = False
        self.called: set[str] = set()  # of what is forbidden

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        given = dict(zip(self.names, arguments, strict=False)) | named
        before = {name: frozen(value) for name, value in given.items()}
        states = [state for value in given.values() if (state := _state(value)) is not None]
        result = self.last = self._run(arguments, named)
        for name, value in given.items():
            expect(
                frozen(value) == before[name],
                f"the function changed its argument {name} in place, and whoever passed it still "
                "needs it: return something new",
            )
        after = [state for value in given.values() if (state := _state(value)) is not None]
        self.unused_generator |= bool(states) and states == after
        if result is None:
            expect(
                self.none_is_an_answer, "the function returned nothing: does it end with `return`?"
            )
            return None
        return result if self.like is None else as_kind(result, self.like, self.returns)

    def _run(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        before = sys.getprofile()
        if self.forbidden:
            sys.setprofile(self._see)
        try:
            return self.attempt(*arguments, **named)
        except (NotImplementedError, Wrong):
            raise
        except SystemExit as error:
            raise Stopped(f"the function ends Python{place(self.attempt, error)}") from error
        except Exception as error:
            reason = (str(error).splitlines() or ["no message"])[0]
            raise Stopped(
                f"the function stopped{place(self.attempt, error)} with "
                f"{type(error).__name__}: {reason}"
            ) from error
        finally:
            if self.forbidden:
                sys.setprofile(before)

    def _see(self, frame: FrameType, event: str, argument: Any) -> None:
        """Takes note of a forbidden function that is called, by whatever way."""
        if event == "c_call":
            name = getattr(argument, "__name__", "")
        elif event == "call":
            # the learner's function may have the name of what it stands for
            own = frame.f_code is getattr(self.attempt, "__code__", None)
            solution = frame.f_globals.get("__name__", "").startswith("hatlib.course")
            name = "" if own or solution else frame.f_code.co_name
        else:
            return
        if name in self.forbidden:
            self.called.add(name)

    def shortcuts(self) -> None:
        """Raises Wrong where the function took a way that the text forbids."""
        for name in sorted(self.called):
            raise Wrong(self.forbidden[name])
        if "loop" in self.forbidden and has_loop(self.attempt):
            raise Wrong(self.forbidden["loop"])


def place(attempt: Callable[..., Any], error: BaseException) -> str:
    """ " at `line`", the line of the learner's code that failed; "" if it cannot be found."""
    file = getattr(getattr(attempt, "__code__", None), "co_filename", None)
    lines = [
        frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file
    ]
    return f" at `{lines[-1]}`" if lines and lines[-1] else ""


def frozen(value: Any) -> Any:
    """What an argument holds, as something that can be compared later."""
    if isinstance(value, torch.Tensor):
        return (value.detach().cpu().numpy().tobytes(), tuple(value.shape))
    if isinstance(value, np.ndarray):
        return (value.tobytes(), value.shape)
    if isinstance(value, list | tuple):
        return [frozen(item) for item in value]
    if isinstance(value, Mapping):
        return {key: frozen(item) for key, item in value.items()}
    simple = value is None or isinstance(value, int | float | complex | str)
    return value if simple else id(value)


def _state(value: Any) -> str | None:
    """The state of a random generator; None of anything else."""
    return str(value.bit_generator.state) if isinstance(value, np.random.Generator) else None


LOOPS = ast.For | ast.While | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def has_loop(function: Callable[..., Any]) -> bool:
    """Whether a loop stands in a function's code; False where the code cannot be read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    return any(isinstance(node, LOOPS) for node in ast.walk(tree))


# ---- the probes ----------------------------------------------------------------------------------


def look(guard: Guard, solution: Callable[..., Any], cases: Cases) -> None:
    """The first probe, before everything else: is it a value of the right kind at all?"""
    first, again = (next(iter(cases(Draw()).values()), None) for _ in range(2))
    if first is not None and again is not None:
        guard.like = solution(*first)
        with contextlib.suppress(Stopped):  # a named mistake may say more than the error
            guard(*again)


def run(
    guard: Guard,
    solution: Callable[..., Any],
    cases: Cases,
    tolerance: float,
    compare: Callable[[Any, Any, float], str] = difference,
) -> None:
    """All other probes: the function and its solution have to agree in every case."""
    for (label, given), again in zip(cases(Draw()).items(), cases(Draw()).values(), strict=True):
        want = solution(*given)
        guard.like = want if want is not None else guard.like
        with np.errstate(all="ignore"):
            words = compare(guard(*again), want, tolerance)
        expect(not words, f"not right for {label}: {words}")
    guard.shortcuts()
    expect(
        not guard.unused_generator,
        "draw from the generator that is passed in; without it no run can be repeated",
    )
