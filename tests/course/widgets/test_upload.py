"""hatlib.course.widgets.upload: a photo by path, from the browser, or from Colab."""

from __future__ import annotations

import datetime
import io
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import ipywidgets
import numpy as np
import pytest
from PIL import Image as PillowImage

from hatlib import HatlibError
from hatlib.course import widgets
from hatlib.data.builtin import builtin_image

PIXELS = builtin_image("coffee")[100:140, 200:260]  # 40×60


def encoded(pixels: np.ndarray, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def choose(button: Any, name: str, content: bytes) -> None:
    """What the browser sends when a file is chosen, to the installed version's widget."""
    if ipywidgets.__version__.startswith("7."):
        message = {
            "data": [memoryview(content)],
            "metadata": [{"name": name, "type": "image/png"}],
            "_counter": button._counter + 1,
        }
    else:
        now = int(datetime.datetime.now().timestamp() * 1000)
        message = {
            "value": [
                {
                    "name": name,
                    "type": "image/png",
                    "size": len(content),
                    "last_modified": now,
                    "content": memoryview(content),
                }
            ]
        }
    button.set_state(message)


def test_nothing_uploaded_is_none() -> None:
    button = widgets.upload_button()
    assert widgets.uploaded(button) is None
    assert button.description and button.accept == "image/*" and not button.multiple


def test_an_upload_arrives_and_the_next_one_replaces_it() -> None:
    button = widgets.upload_button()
    choose(button, "a.png", encoded(PIXELS))
    assert widgets.uploaded(button) == ("a.png", encoded(PIXELS))
    name, image = widgets.your_photo(button=button)
    assert name == "a.png"
    np.testing.assert_array_equal(image, PIXELS)
    choose(button, "b.png", encoded(255 - PIXELS))
    name, image = widgets.your_photo("", button)
    assert name == "b.png"
    np.testing.assert_array_equal(image, 255 - PIXELS)


@pytest.mark.parametrize(
    "value",
    [
        {"old.png": {"metadata": {"name": "old.png"}, "content": b"seven"}},
        ({"name": "old.png", "type": "image/png", "content": memoryview(b"seven")},),
    ],
)
def test_both_forms_of_an_upload_are_read(value: Any) -> None:
    assert widgets.uploaded(SimpleNamespace(value=value)) == ("old.png", b"seven")
    assert widgets.uploaded(SimpleNamespace(value=type(value)())) is None


def test_an_upload_of_a_phone_is_turned_upright() -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # the camera was held upright: to be turned by a quarter
    button = widgets.upload_button()
    choose(button, "IMG 0001.JPG", encoded(PIXELS, "jpeg", exif=exif.tobytes(), quality=95))
    assert widgets.your_photo(button=button).image.shape == (60, 40, 3)


def test_a_damaged_upload_is_named_as_the_user_knows_it() -> None:
    button = widgets.upload_button()
    choose(button, "../holiday.heic", b"not an image")
    with pytest.raises(
        HatlibError, match=r"^\.\./holiday\.heic is not an image that can be read \(\.png"
    ):
        widgets.your_photo(button=button)


def test_a_path_comes_before_an_upload_and_a_built_in_photo_last(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(encoded(PIXELS))
    button = widgets.upload_button()
    choose(button, "other.png", encoded(255 - PIXELS))
    name, image = widgets.your_photo(str(tmp_path / "mine.png"), button)
    assert name == "mine.png"
    np.testing.assert_array_equal(image, PIXELS)
    name, image = widgets.your_photo()
    assert "no photo was chosen" in name and "coffee" in name
    np.testing.assert_array_equal(image, builtin_image("coffee"))
    assert "'cat'" in widgets.your_photo(button=widgets.upload_button(), otherwise="cat").name
    with pytest.raises(HatlibError, match="no such file"):
        widgets.your_photo(str(tmp_path / "gone.png"), button)


def test_colab_is_asked_for_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(HatlibError, match="not Colab"):
        widgets.ask_on_colab()
    chosen: dict[str, bytes] = {}
    files = ModuleType("google.colab.files")
    files.upload = lambda: chosen  # type: ignore[attr-defined]
    for name, module in (
        ("google", ModuleType("google")),
        ("google.colab", ModuleType("google.colab")),
        ("google.colab.files", files),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    assert widgets.ask_on_colab() == ""  # cancelled
    Path("phone.png").write_bytes(encoded(PIXELS))
    chosen["phone.png"] = encoded(PIXELS)
    np.testing.assert_array_equal(widgets.your_photo(widgets.ask_on_colab()).image, PIXELS)
