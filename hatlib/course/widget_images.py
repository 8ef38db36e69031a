"""Widgets without a kernel: what an explorer showed first, as HTML for the pages and as a picture
for storing."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"


def widget_state(notebook: NotebookNode) -> dict[str, Any]:
    """Model id → model of every widget of an executed notebook."""
    return notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})


def _family(model_id: str, state: Mapping[str, Any]) -> list[Any]:
    """A widget's model and those of everything inside it, in reading order."""
    model = state.get(model_id)
    if not model:
        return []
    inside = [child.removeprefix("IPY_MODEL_") for child in model["state"].get("children", [])]
    return [model, *(found for child in inside for found in _family(child, state))]


def _picture(model: Mapping[str, Any]) -> str | None:
    """The bytes of an Image widget in base64."""
    found = [buffer["data"] for buffer in model.get("buffers", []) if buffer["path"] == ["value"]]
    return found[0] if found and model["state"]["_model_name"] == "ImageModel" else None


def is_progress(model_id: str, state: Mapping[str, Any]) -> bool:
    """Whether a widget is a progress bar, or one that was closed: nothing to show once the cell is
    done."""
    kinds = [model["state"]["_model_name"] for model in _family(model_id, state)]
    return not kinds or any(kind.endswith("ProgressModel") for kind in kinds)


def as_html(model_id: str, state: Mapping[str, Any]) -> str:
    """A still view of a widget: its controls with their values, its pictures, its text."""
    parts = [part for model in _family(model_id, state) if (part := _still(model))]
    note = '<p class="note">A still picture: open the notebook and run the cell to use the controls.</p>'
    return f'<div class="still">{"".join(parts)}{note}</div>'


def _still(model: Mapping[str, Any]) -> str:
    """One widget as HTML; nothing for boxes, layouts and buttons."""
    values, kind = model["state"], model["state"]["_model_name"]
    label = html.escape(values.get("description", ""))
    if picture := _picture(model):
        width = (values.get("width") or "").removesuffix("px")
        size = f' width="{width}"' if width.isdigit() else ""
        return f'<img src="data:image/{values["format"]};base64,{picture}"{size} alt="the explorer\'s first picture">'
    if kind == "FileUploadModel":
        return f"<button disabled>{label}</button>"
    if kind in ("HTMLModel", "HTMLMathModel", "LabelModel"):
        return f"<div>{values.get('value', '')}</div>"
    if kind == "OutputModel":
        return "".join(_output(output) for output in values.get("outputs", []))
    if "_options_labels" in values:
        options, index = values["_options_labels"], values.get("index")
        chosen = options[index] if isinstance(index, int) else ""
        return f'<div class="control"><span>{label}</span><b>{html.escape(str(chosen))}</b></div>'
    if isinstance(values.get("value"), int | float | str) and label:
        bar = ""
        if "min" in values and "max" in values:
            limits = " ".join(
                f'{key}="{values[key]}"' for key in ("min", "max", "step", "value") if key in values
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
        return f'<img src="data:image/png;base64,{data["image/png"]}" alt="the explorer\'s first picture">'
    if "text/html" in data:
        return str(data["text/html"])
    return f"<pre>{html.escape(data.get('text/plain', output.get('text', '')))}</pre>"


def fallback(model_id: str, state: Mapping[str, Any]) -> dict[str, str]:
    """What is stored in a notebook in a widget's place: its first picture, if it has one, and a
    line of text."""
    explorer = "explorer: run the cell to use its controls"
    for model in _family(model_id, state):
        if picture := _picture(model):
            return {"text/plain": explorer, f"image/{model['state']['format']}": picture}
        for output in model["state"].get("outputs", []):
            if "image/png" in output.get("data", {}):
                return {"text/plain": explorer, "image/png": output["data"]["image/png"]}
    return {"text/plain": "a widget: run the cell to use it"}
