"""Several processes at one job: which part of the work is this one's, and what the others have.

torchrun and accelerate launch tell each process its number in variables of the environment. Where
no launcher knows of the others, as in a scheduler's job array, the user names the part: 3/100.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import pickle
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from hatlib.errors import HatlibError
from hatlib.system import console

if TYPE_CHECKING:
    import torch.distributed

Item = TypeVar("Item")

# What says how many processes there are, and what comes with it where they were started: torchrun's
# and accelerate's own, then those of MPI.
VARIABLES = (
    ("WORLD_SIZE", "RANK"),
    ("WORLD_SIZE", "MASTER_ADDR"),
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
)

PATIENCE = datetime.timedelta(minutes=30)  # in which the processes have to start
POLL = 0.1  # seconds
SAID_AFTER = 5.0  # seconds without the others
LAUNCHER = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Part(NamedTuple):
    """A part of the work: every `of`-th item, beginning with the `number`-th."""

    number: int = 1  # 1 to `of`
    of: int = 1

    def __str__(self) -> str:
        return f"part {self.number} of {self.of}"

    @property
    def slug(self) -> str:
        """For names of files: 3-of-100."""
        return f"{self.number}-of-{self.of}"

    def take(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items of this part."""
        return items[self.number - 1 :: self.of]

    def split(self, inner: Part) -> Part:
        """A part of this part: `self.split(inner).take(x) == inner.take(self.take(x))`."""
        return Part(self.number + self.of * (inner.number - 1), self.of * inner.of)


WHOLE = Part()


def parse(text: str | None) -> Part:
    """The part that "3/100" names; all of the work where nothing is named.

    Raises:
        HatlibError: it is something else, or there is no such part.
    """
    if text is None:
        return WHOLE
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    part = Part(*map(int, match.groups())) if match else Part(0, 0)
    if not 1 <= part.number <= part.of:
        raise HatlibError(f"--shard is {text}; it is K/N with K from 1 to N, such as 3/100")
    return part


def launched() -> Part:
    """Which of the processes this is that one launcher started.

    Raises:
        HatlibError: the environment announces others that this one cannot reach.
    """
    check_launcher(os.environ)
    for size, number in VARIABLES:
        count = int(os.environ.get(size) or 1)
        if count > 1 and not os.environ.get("MASTER_ADDR"):
            raise HatlibError(
                f"{size} is {count} in the environment, and MASTER_ADDR is not set: use torchrun "
                f"or accelerate launch, or unset {size}"
            )
        if count > 1:
            return Part(int(os.environ[number]) + 1, count)
    return WHOLE


def check_launcher(environment: Mapping[str, str]) -> None:
    """Raises HatlibError where the environment announces processes that nobody started, as a
    variable left over from another program does: the first would wait for the others."""
    for size, other in VARIABLES:
        count = environment.get(size) or "1"
        if count != "1" and not (count.isdecimal() and environment.get(other)):
            raise HatlibError(
                f"{size} is {count} in the environment and {other} is not set, so nothing started "
                f"the other processes: unset {size}, or use torchrun or accelerate launch"
            )


@contextlib.contextmanager
def waiting_is_said() -> Iterator[None]:
    """Inside, the processes of a launcher find each other. If that takes long, a line says what is
    waited for: variables may be left over from another program, which started the others."""
    set_to = [name for name in LAUNCHER if os.environ.get(name)]
    line = (
        f"waiting for the other processes that {', '.join(set_to)} in the environment announce; "
        f"if nothing starts them, stop this with Ctrl-C and unset {' '.join(set_to)}"
    )
    timer = threading.Timer(SAID_AFTER, console.note, [line])
    timer.daemon = True
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


@functools.cache
def _store(part: Part) -> torch.distributed.Store:
    """What the launcher offers its processes for small messages: keys and values, over TCP."""
    import torch.distributed

    with waiting_is_said():
        rendezvous = torch.distributed.rendezvous(
            "env://", part.number - 1, part.of, timeout=PATIENCE
        )
        store, _, _ = next(rendezvous)
    return store


def gather(value: Item) -> list[Item]:
    """What all the processes of a launcher have, in order; waits for them.

    Collective operations are not needed for it: these wait where no signal can end them.

    Args:
        value: of this process; something that can be pickled.
    Raises:
        HatlibError: the others cannot be reached.
    """
    part = launched()
    if part.of == 1:
        return [value]
    try:
        store = _store(part)
        # how often this process has come here: the others come as often
        turn = store.add(f"hatlib/turn/{part.number}", 1)
        keys = [f"hatlib/{turn}/{number}" for number in range(1, part.of + 1)]
        message = pickle.dumps(value)
        store.set(keys[part.number - 1], message)  # type: ignore[arg-type]  # it takes bytes, too
        while not store.check(keys):
            time.sleep(POLL)
        values = [pickle.loads(store.get(key)) for key in keys]
        # the first may keep the store: it goes last
        read = store.add(f"hatlib/{turn}/read", 1)
        while part.number == 1 and read < part.of:
            time.sleep(POLL)
            read = store.add(f"hatlib/{turn}/read", 0)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HatlibError(f"the processes of this run do not find each other: {reason}") from None
    return values
