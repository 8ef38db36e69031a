"""What comes from outside: limits that say what is possible, and one line that says what is wrong.

Recipes, configurations of networks, cards of weights, facts of checkpoints, recorded rows and the
arguments of public functions have fields of the kinds below. pydantic checks them; what it finds
becomes a `HatlibError` here and nowhere else, with the value, and the words that follow from the
declared limits. So a message is the same from Python, from `--set` and from a file.

Numpy's numbers are as good as Python's, a list is as good as a tuple, and one value as good as a
tuple of one where several are allowed. Nothing else is converted: "8" is no number, True is none,
and 48.0 is no count.
"""

from __future__ import annotations

import functools
import numbers
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from dataclasses import fields as dataclass_fields
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from hatlib.errors import HatlibError, unknown

T = TypeVar("T")

STRICT = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
SHOWN = 60  # characters of a wrong value that a message repeats

# --- what is as good as what is wanted ------------------------------------------------------------


def _whole(value: Any) -> Any:
    """Python's int for a whole number of numpy's."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if is_whole else value


def _number(value: Any) -> Any:
    """Python's float for a real number of any kind; one that is too large for it stays as it is."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def _listed(value: Any) -> Any:
    """A tuple for a list or a row of numpy's."""
    if hasattr(value, "ndim") and hasattr(value, "tolist") and value.ndim == 1:
        return tuple(value.tolist())
    return tuple(value) if isinstance(value, list) else value


def _several(value: Any) -> Any:
    """A tuple for a single value, too."""
    single = isinstance(value, str | os.PathLike | numbers.Number)
    return (value,) if single else _listed(value)


def _text(value: Any) -> Any:
    """Text for a path."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


# after the limits, which pydantic then finds in the words of the type
WHOLE = BeforeValidator(_whole)
NUMBER = BeforeValidator(_number)
LISTED = BeforeValidator(_listed)
SEVERAL = BeforeValidator(_several)

# --- the kinds ------------------------------------------------------------------------------------

Whole = Annotated[int, WHOLE]
Number = Annotated[float, Field(allow_inf_nan=False), NUMBER]
AnyNumber = Annotated[float, NUMBER]  # a measured one may be infinite or NaN
Name = Annotated[str, Field(min_length=1)]
SetName = Annotated[str, Field(min_length=1), BeforeValidator(_text)]  # a data set or a folder

Natural = Annotated[int, Field(ge=0), WHOLE]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NUMBER]
FileName = SetName
CellSeconds = Annotated[float, Field(ge=1, le=10**6, allow_inf_nan=False), NUMBER]
Similarity = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False), NUMBER]  # SSIM
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), NUMBER]

Scale = Annotated[int, Field(ge=1, le=64), WHOLE]
Count = Annotated[int, Field(ge=1, le=10**6), WHOLE]  # of images, tiles, patches in a batch
Steps = Annotated[int, Field(ge=1, le=10**9), WHOLE]
StepNumber = Annotated[int, Field(ge=0, le=10**9), WHOLE]
Pixels = Annotated[int, Field(ge=0, le=10**6), WHOLE]  # along a side
Size = Annotated[tuple[Whole, Whole], LISTED]  # height and width
SrWindow = Annotated[tuple[Whole, Whole, Whole], LISTED]  # top, left, side
PatchSide = Annotated[int, Field(ge=1, le=4096), WHOLE]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), WHOLE]  # what numpy's generator takes
LearningRate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False), NUMBER]

# Sizes of networks. The largest that were ever released have 12 groups of 6 blocks, 180 channels
# and windows of 16; the limits leave room, and keep what a file asks for within a machine's memory.
Channels = Annotated[int, Field(ge=1, le=4096), WHOLE]
Groups = Annotated[int, Field(ge=1, le=100), WHOLE]
Blocks = Annotated[int, Field(ge=1, le=100), WHOLE]
Depths = Annotated[tuple[Blocks, ...], Field(min_length=1, max_length=100), LISTED]
Heads = Annotated[int, Field(ge=1, le=256), WHOLE]
WindowSide = Annotated[int, Field(ge=2, le=64), WHOLE]
LongWindowSide = Annotated[int, Field(ge=2, le=1024), WHOLE]
OverlapRatio = Annotated[float, Field(ge=0, le=4, allow_inf_nan=False), NUMBER]
HiddenRatio = Annotated[float, Field(gt=0, le=16, allow_inf_nan=False), NUMBER]
KernelSide = Annotated[int, Field(ge=1, le=63), WHOLE]

# --- dataclasses ----------------------------------------------------------------------------------


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def validated(cls: type[T]) -> type[T]:
    """A frozen dataclass whose fields are checked, also by `dataclasses.replace`.

    Its own checks, of fields that depend on each other, go into `__post_init__`.

    Raises:
        HatlibError: when an instance is made, a value that cannot be, or a field that is unknown.
    """
    made = cast(Any, dataclass(frozen=True, config=STRICT)(cls))
    fill = made.__init__

    @functools.wraps(fill)
    def checked_init(self: Any, *arguments: Any, **values: Any) -> None:
        try:
            fill(self, *arguments, **values)
        except ValidationError as error:
            raise _in_words(error, made, arguments, values) from None

    made.__init__ = checked_init
    return made


def _in_words(
    error: ValidationError, cls: Any, arguments: Sequence[Any], values: Mapping[str, Any]
) -> HatlibError:
    """The error for the first field that is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    own = first.get("ctx", {}).get("error")
    if isinstance(own, HatlibError):
        return own  # from __post_init__
    names = [item.name for item in dataclass_fields(cls)]
    name = str(first["loc"][0]) if first["loc"] else cls.__name__
    given = {**dict(zip(names, arguments, strict=False)), **values}
    if first["type"].startswith("unexpected") or name not in names:
        return unknown("setting", name, names)
    if first["type"] == "missing" and name not in given:
        return HatlibError(f"{name} is missing")
    properties = _schema(cls)["properties"]
    return _wrong(name, given.get(name), properties[name])


# --- single values --------------------------------------------------------------------------------


def checked(name: str, value: Any, kind: Any) -> Any:
    """The value, as a kind has it.

    Args:
        name: of the argument, for the message.
        kind: one of those above, or any type that pydantic knows.
    Raises:
        HatlibError: the value is of another kind or out of range.
    """
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError:
        raise _wrong(name, value, _schema(kind)) from None


def choice(name: str, value: Any, known: Sequence[str] | Mapping[str, Any]) -> None:
    """Raises HatlibError unless a value is one of the known names."""
    if not isinstance(value, str):
        raise HatlibError(f"{name} is {shown(value)}; it is one of {', '.join(known)}")
    if value not in known:
        raise unknown(name, value, known)


# by identity: pydantic's constraints have no hash
_ADAPTERS: dict[int, tuple[Any, TypeAdapter[Any]]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """pydantic's checker of a kind; made once for each of the kinds of a module."""
    if id(kind) not in _ADAPTERS:
        # a class of ours has its configuration already
        config = None if hasattr(kind, "__pydantic_config__") else STRICT
        _ADAPTERS[id(kind)] = (kind, TypeAdapter(kind, config=config))
    return _ADAPTERS[id(kind)][1]


def _schema(kind: Any) -> dict[str, Any]:
    return _adapter(kind).json_schema(mode="validation")


# --- words ----------------------------------------------------------------------------------------


def _wrong(name: str, value: Any, schema: Mapping[str, Any]) -> HatlibError:
    return HatlibError(f"{name} is {shown(value)}; it is {words(schema)}")


def shown(value: Any) -> str:
    """A wrong value as a message repeats it: on one line, and no longer than a line."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        digits = int(value.bit_length() * 0.30103) + 1
        return f"a number of about {digits:,} digits"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever a stranger's object does, or a number that is too long inside it
        text = type(value).__name__
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text):,} characters)"


def words(schema: Mapping[str, Any]) -> str:
    """What a value can be, from the limits in a JSON schema.

    >>> words({"type": "integer", "minimum": 1, "maximum": 64})
    'a whole number from 1 to 64'
    >>> words({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]})
    'a number above 0, or None'
    """
    if "anyOf" in schema:
        *others, last = (words(option) for option in schema["anyOf"])
        return f"{', '.join(others)}, or {last}"
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(schema)
    if kind == "array":
        return _list_in_words(schema)
    simple = {
        "boolean": "True or False",
        "null": "None",
        "string": "text",
        "object": "a dictionary",
    }
    text = simple.get(str(kind), "something else")
    return f"{text}, not empty" if schema.get("minLength") and kind == "string" else text


def _range(schema: Mapping[str, Any]) -> str:
    """from 1 to 64; from 0 to less than 1; above 0 to 1,000."""
    low, high = schema.get("minimum"), schema.get("maximum")
    parts = []
    if low is not None:
        parts.append(f"from {_plain(low)}")
    if (above := schema.get("exclusiveMinimum")) is not None:
        parts.append(f"above {_plain(above)}")
    if high is not None:
        upper = "and up to" if parts and low is None else "up to"
        parts.append(f"to {_plain(high)}" if low is not None else f"{upper} {_plain(high)}")
    if (below := schema.get("exclusiveMaximum")) is not None:
        parts.append(f"to less than {_plain(below)}" if parts else f"less than {_plain(below)}")
    return "".join(f" {part}" for part in parts)


def _plain(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) or number % 1 else f"{int(number):,}"


def _list_in_words(schema: Mapping[str, Any]) -> str:
    if items := schema.get("prefixItems"):
        each = {words(item) for item in items}
        what = each.pop() if len(each) == 1 else " and ".join(words(item) for item in items)
        return f"a list of {len(items)}, each {what}" if not each else f"a list of {what}"
    least, most = schema.get("minItems"), schema.get("maxItems")
    count = "a list" if most is None else f"a list of {least or 0} to {most:,}"
    if most is None and least:
        count = f"a list of {least} or more"
    return f"{count}, each {words(schema.get('items', {}))}"


def one_line(error: BaseException) -> str:
    """An error of another library in one line."""
    text = re.sub(r"\s+", " ", str(error)).strip()
    return (text if len(text) <= 200 else f"{text[:200]}…") or type(error).__name__
