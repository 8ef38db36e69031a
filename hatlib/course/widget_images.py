"""Widgets without a kernel: an explorer's first view, as HTML for pages, as a picture to store."""

from __future__ import annotations

import html
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


def as_html(model_id: str, state: Mapping[str, Any]) -> str:
    """A static view of a widget: its controls with their values, its pictures, its text."""
    parts = [part for model in _family(model_id, state) if (part := _still(model))]
    note = "A still picture: open the notebook and run the cell to use the controls."
    note = f'<p class="note">{note}</p>'
    return f'<div class="still">{"".join(parts)}{note}</div>'


def _still(model: Mapping[str, Any]) -> str:
    """One widget as HTML; "" for boxes, layouts and buttons."""
    values = model["state"]
    kind = values["_model_name"]
    label = html.escape(values.get("description", ""))
    if picture := _picture(model):
        width = (values.get("width") or "").removesuffix("px")
        size = f' width="{width}"' if width.isdigit() else ""
        form = html.escape(str(values["format"]))
        return f'<img src="data:image/{form};base64,{picture}"{size} alt="{ALT}">'
    if kind == "FileUploadModel":
        return f"<button disabled>{label}</button>"
    if kind == "LabelModel":  # text, not HTML
        return f"<div>{html.escape(str(values.get('value', '')))}</div>"
    if kind in ("HTMLModel", "HTMLMathModel"):
        return f"<div>{values.get('value', '')}</div>"
    if kind == "OutputModel":
        return "".join(_output(output) for output in values.get("outputs", []))
    if "_options_labels" in values:
        options = values["_options_labels"]
        index = values.get("index")
        chosen = options[index] if isinstance(index, int) else ""
        return f'<div class="control"><span>{label}</span><b>{html.escape(str(chosen))}</b></div>'
    if isinstance(values.get("value"), int | float | str) and label:
        bar = ""
        if "min" in values and "max" in values:
            limits = " ".join(
                f'{key}="{html.escape(str(values[key]))}"'
                for key in ("min", "max", "step", "value")
                if key in values
            )
            bar = f'<input type="range" {limits} disabled>'
        number = values["value"]
        shown = f"{number:g}" if isinstance(number, float) else html.escape(str(number))
        return f'<div class="control"><span>{label}</span>{bar}<b>{shown}</b></div>'
    return ""


def _output(output: Mapping[str, Any]) -> str:
    """One output of an Output widget."""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img src="data:image/png;base64,{data["image/png"]}" alt="{ALT}">'
    if "text/html" in data:
        return str(data["text/html"])
    return f"<pre>{html.escape(data.get('text/plain', output.get('text', '')))}</pre>"


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
