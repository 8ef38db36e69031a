"""Widgets without a kernel: an explorer's first picture, which notebooks store and pages show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
ALT = "the explorer's first picture"


def widget_state(notebook: NotebookNode) -> dict[str, Any]:
    """Model id → model of every widget of an executed notebook."""
    return notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})


def _family(model_id: str, state: Mapping[str, Any]) -> list[Any]:
    """The models of a widget and of everything inside it, in reading order."""
    model = state.get(model_id)
    if not model:
        return []
    inside = [child.removeprefix("IPY_MODEL_") for child in model["state"].get("children", [])]
    return [model, *(part for child in inside for part in _family(child, state))]


def _picture(model: Mapping[str, Any]) -> str | None:
    """The bytes of an Image widget in base64."""
    if model["state"]["_model_name"] != "ImageModel":
        return None
    buffers = model.get("buffers", [])
    return next((buffer["data"] for buffer in buffers if buffer["path"] == ["value"]), None)


def is_progress(model_id: str, state: Mapping[str, Any]) -> bool:
    """Whether a widget is a progress bar or closed: nothing to show once the cell has finished."""
    kinds = [model["state"]["_model_name"] for model in _family(model_id, state)]
    return not kinds or any(kind.endswith("ProgressModel") for kind in kinds)


def fallback(model_id: str, state: Mapping[str, Any]) -> dict[str, str]:
    """What a stored notebook has in a widget's place: its first picture, if any, and a line."""
    explorer = "explorer: run the cell to use its controls"
    for model in _family(model_id, state):
        if picture := _picture(model):
            return {"text/plain": explorer, f"image/{model['state']['format']}": picture}
        for output in model["state"].get("outputs", []):
            if "image/png" in output.get("data", {}):
                return {"text/plain": explorer, "image/png": output["data"]["image/png"]}
    return {"text/plain": "a widget: run the cell to use it"}


def alt_text(data: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The metadata that say in words what the picture of an output shows."""
    return {kind: {"alt": ALT} for kind in data if kind.startswith("image/")}
