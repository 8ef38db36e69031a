"""Runs one notebook in a fresh kernel of the running Python, and cleans it for storing."""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatlib.course import widget_images
from hatlib.errors import HatlibError
from hatlib.system import paths
from hatlib.validation import one_line

if TYPE_CHECKING:
    from nbformat import NotebookNode

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}
# what Colab is asked for: it opens a notebook that says nothing on a machine without a GPU
COLAB = {"accelerator": "GPU", "colab": {"gpuType": "T4"}}
KEPT_CELL_METADATA = ("tags", "jupyter")


def read(path: Path, keep_outputs: bool = False) -> NotebookNode:
    """A notebook in the current format, without outputs: no stale one can pass for a new one.

    Args:
        keep_outputs: for what is not run, but copied.

    Raises:
        HatlibError: the file is damaged, or something else than a notebook.
    """
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # what is no notebook fails in many ways
        raise HatlibError(f"{path} is not a notebook: {one_line(error)}") from error
    for cell in notebook.cells:
        if cell.cell_type == "code" and not keep_outputs:
            cell.outputs, cell.execution_count = [], None
    return notebook


def environment(store: bool = False, threads: int | None = None) -> dict[str, str]:
    """The kernels' environment variables: ours, with absolute paths, as kernels run elsewhere.

    Args:
        threads: on which a kernel computes; None: as it likes.
    """
    # Without the second entry the debugger writes a warning on every start.
    variables = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    variables.pop("MPLBACKEND", None)  # figures belong in the notebook
    for name in ("HATLIB_DATA", "HATLIB_MIRROR"):
        if variables.get(name):
            variables[name] = str(paths.expanded(variables[name]).absolute())
    if root := paths.checkout():  # the kernel imports this hatlib, installed or not
        variables["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(root), variables.get("PYTHONPATH")])
        )
    if threads:
        variables["OMP_NUM_THREADS"] = str(threads)
    if store:
        variables["HATLIB_PROFILE"] = "quick"
        variables["HATLIB_PROGRESS"] = "off"  # the stored outputs belong to no learner
    return variables


def new_client(notebook: NotebookNode, timeout: float | None) -> Any:
    """An nbclient whose kernel is the running interpreter, whatever is registered as python3."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name="this Python", language="python")

    manager = AsyncKernelManager(kernel_spec_manager=ThisPython())
    seconds = int(timeout) if timeout else None
    return NotebookClient(
        notebook,
        km=manager,
        timeout=seconds,
        startup_timeout=120,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=True,
    )


class Running:
    """The kernels that run now, for whoever has to end them from another thread."""

    def __init__(self) -> None:
        self.managers: set[Any] = set()
        self.killed = False

    def add(self, manager: Any) -> None:
        self.managers.add(manager)
        if self.killed:  # while it started
            self._kill(manager)

    def kill(self) -> None:
        self.killed = True
        for manager in list(self.managers):
            self._kill(manager)

    @staticmethod
    def _kill(manager: Any) -> None:
        with contextlib.suppress(AttributeError, OSError):  # it has just ended
            manager.provisioner.process.kill()  # its client sees that it is dead


@contextlib.contextmanager
def kernel(
    client: Any, folder: Path, variables: dict[str, str], running: Running
) -> Iterator[None]:
    """Starts the client's kernel in a folder and always ends it: at once after an error."""
    from jupyter_core.utils import run_sync

    # The log takes what the process itself prints, such as "Killed"; cells do not write to it.
    with tempfile.TemporaryFile() as log:
        try:
            with client.setup_kernel(
                cwd=str(folder), env=variables, stdout=log, stderr=log, cleanup_kc=True
            ):
                try:
                    running.add(client.km)
                    yield
                except BaseException:
                    client.shutdown_kernel = "immediate"
                    raise
                finally:
                    running.managers.discard(client.km)
        finally:
            if client.km is not None and client.km.has_kernel:
                run_sync(client.km.shutdown_kernel)(now=True)


def execute(
    notebook: NotebookNode,
    folder: Path,
    variables: dict[str, str],
    timeout: float | None,
    finished_cell: Callable[[], None],
    running: Running,
) -> str:
    """Runs all cells in place. Returns "" or the last line of the error that stopped it.

    An error without an output (a dead kernel, a timeout) is added to its cell, so that the page
    shows it.
    """
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbformat.v4 import new_output

    client = new_client(notebook, timeout)
    cell = notebook.cells[0] if notebook.cells else None
    try:
        with kernel(client, folder, variables, running):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
                if cell.cell_type == "code" and cell.source.strip():
                    finished_cell()
        return ""
    except CellExecutionError as error:
        last = f"{error.ename}: {error.evalue}".strip().splitlines()
        return last[0] if last else "error"
    except CellTimeoutError:
        message = f"TimeoutError: the cell ran for more than {timeout:.0f} s"
    except (DeadKernelError, RuntimeError) as error:
        message = f"DeadKernelError: {str(error).splitlines()[0]} (was there enough memory?)"
    finally:
        client.set_widgets_metadata()
        drop_progress(notebook)
    if cell is not None and cell.cell_type == "code":
        name, value = message.split(": ", 1)
        cell.outputs.append(new_output("error", ename=name, evalue=value, traceback=[message]))
    return message


def drop_progress(notebook: NotebookNode) -> None:
    """Removes what finished progress bars leave behind."""
    state = widget_images.widget_state(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            views = [output.get("data", {}).get(widget_images.VIEW) for output in cell.outputs]
            cell.outputs = [
                output
                for output, view in zip(cell.outputs, views, strict=True)
                if not (view and widget_images.is_progress(view["model_id"], state))
            ]


def clean(notebook: NotebookNode) -> NotebookNode:
    """A copy for storing, without widget state, timestamps and interpreter version.

    Two runs then differ as little as possible. A widget's view, which needs its kernel, becomes the
    first picture that it showed.
    """
    tidy = copy.deepcopy(notebook)
    state = widget_images.widget_state(notebook)
    tidy.metadata = type(tidy.metadata)(
        **copy.deepcopy(COLAB), kernelspec=dict(KERNELSPEC), language_info=dict(LANGUAGE)
    )
    for cell in tidy.cells:
        cell.metadata = type(cell.metadata)(
            {k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA}
        )
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            if view := output.get("data", {}).get(widget_images.VIEW):
                output["data"] = widget_images.fallback(view["model_id"], state)
                output["metadata"] = widget_images.alt_text(output["data"])
    return tidy


def compress_pictures(notebook: NotebookNode) -> None:
    """Makes the outputs' PNG files smaller: photographs by a tenth, drawings and plots by half."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if text := output.get("data", {}).get("image/png"):
                packed = base64.b64encode(recompress_png(base64.b64decode(text))).decode()
                output.data["image/png"] = min(text, packed, key=len)


# Drawings and plots have no more colours than this, most of them the edges of lines and letters;
# photographs have more.
FEW_COLOURS = 2000


def recompress_png(content: bytes) -> bytes:
    """The same picture in fewer bytes: slowest compression, no alpha channel if it is opaque.

    A picture of few colours gets a palette of 256; what changes is the shade of some pixels at the
    edges of lines. A picture of many colours keeps every pixel.
    """
    import numpy as np
    from PIL import Image

    picture: Image.Image = Image.open(io.BytesIO(content))
    if picture.mode == "RGBA" and np.asarray(picture)[..., 3].min() == 255:
        picture = picture.convert("RGB")
    candidates = [picture]
    if picture.mode == "RGB" and picture.getcolors(FEW_COLOURS):
        candidates.append(picture.quantize(256, dither=Image.Dither.NONE))
    files = []
    for candidate in candidates:
        candidate.save(buffer := io.BytesIO(), format="png", optimize=True)
        files.append(buffer.getvalue())
    return min(files, key=len)


def stderr_lines(notebook: NotebookNode) -> list[str]:
    """The first line of what each cell wrote to stderr: worth reading, not worth storing."""
    texts = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr" and output.text.strip()
    ]
    return [text.strip().splitlines()[0] for text in texts]


def as_text(notebook: NotebookNode) -> str:
    """The notebook as text, as its file has it."""
    import nbformat

    return nbformat.writes(notebook) + "\n"
