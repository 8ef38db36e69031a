"""run_in_kernel.py PYTHON NOTEBOOK: runs a notebook in a kernel of that interpreter and prints what
its cells print."""

import sys

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


class ThatPython(KernelSpecManager):
    def get_kernel_spec(self, kernel_name):
        argv = [sys.argv[1], "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="that Python", language="python")


notebook = nbformat.read(sys.argv[2], as_version=4)
manager = AsyncKernelManager(kernel_spec_manager=ThatPython())
NotebookClient(notebook, km=manager, timeout=240, startup_timeout=120).execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            print(output.text, end="")
