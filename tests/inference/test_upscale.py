from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

from hatlib import HatlibError, models, upscale
from hatlib.data import builtin
from hatlib.imaging import user_files
from hatlib.imaging.convert import to_image, to_tensor
from hatlib.inference import memory, tiles
from hatlib.inference import upscale as inference
from hatlib.models.layers import Network
from hatlib.system import devices

EVERY_KIND = ["bicubic", "nearest", "srcnn", "rcan-nano", "swinir-nano", "hat-nano"]


def lively(name, scale=4, by=0.02, **options):
    """A network whose random weights are large enough for a seam, or a wrong pixel, to show."""
    torch.manual_seed(0)
    model = models.create(name, scale, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def srcnn():
    return lively("srcnn")


def photo(height=40, width=50):
    return builtin.builtin_image("cat")[100 : 100 + height, 100 : 100 + width]


class Blocks(Network):
    """Pixels become 2×2 blocks; keeps the sizes that it was given, and says no to those above a
    limit."""

    scale, halo = 2, 3

    def __init__(self, limit=10**9, error=None):
        super().__init__()
        self.sizes, self.limit, self.error = [], limit, error

    def forward(self, lr):
        if lr.shape[2] * lr.shape[3] > self.limit:
            raise self.error
        self.sizes.append(tuple(lr.shape[2:]))
        return lr.repeat_interleave(2, 2).repeat_interleave(2, 3)


# --- sizes, kinds of arrays, padding


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (37, 5, 3), (7, 9)])
@pytest.mark.parametrize("name", EVERY_KIND)
def test_any_size_becomes_scale_times_as_large(name, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    result = upscale(models.create(name, 3).eval(), image)
    assert result.dtype == np.uint8
    assert result.shape == (3 * shape[0], 3 * shape[1], *shape[2:])


@pytest.mark.parametrize("name", EVERY_KIND)
@pytest.mark.parametrize("tile", [None, 128])
def test_a_strip(name, tile):
    image = np.tile(photo(3, 100), (1, 50, 1))
    assert upscale(models.create(name, 2).eval(), image, tile=tile).shape == (6, 10000, 3)


def test_whole_is_the_network_clamped_and_rounded(srcnn):
    with torch.inference_mode():
        assert np.array_equal(upscale(srcnn, photo()), to_image(srcnn(to_tensor(photo()))))


@pytest.mark.parametrize("name", ["hat-nano", "swinir-nano"])
def test_the_padding_is_that_of_the_reported_results(name):
    model = lively(name)
    with torch.inference_mode():
        padded = model.padding(to_tensor(photo(17, 24)))
        assert padded.shape[2:] == ((24, 24) if name == "hat-nano" else (24, 32))
        expected = to_image(model(padded)[..., :68, :96])
    assert np.array_equal(upscale(model, photo(17, 24), precision="fp32"), expected)


def test_types_of_arrays(srcnn):
    image = photo(12, 14)
    exact = upscale(srcnn, image.astype(np.float32) / 255)
    assert exact.dtype == np.float32
    eight, sixteen = upscale(srcnn, image), upscale(srcnn, image.astype(np.uint16) * 257)
    assert eight.dtype == np.uint8 and sixteen.dtype == np.uint16
    assert np.array_equal(eight, np.floor(255 * exact.clip(0, 1) + 0.5))
    assert np.abs(sixteen - 65535.0 * exact.clip(0, 1)).max() < 0.6  # no detour over 8 bits
    twice = upscale(models.create("nearest", 2), image.astype(np.uint16))
    assert np.array_equal(twice, image.repeat(2, 0).repeat(2, 1))


# --- tiles


@pytest.mark.parametrize("name", ["bicubic", "srcnn"])
@pytest.mark.parametrize("tile", [16, 33, 1000])
def test_tiles_give_the_whole_where_the_halo_is_all_that_matters(name, tile):
    model, image = lively(name), photo(51, 70).astype(np.float32) / 255
    assert model.local
    whole = upscale(model, image, tile=0)
    assert np.abs(upscale(model, image, tile=tile) - whole).max() < 1e-5


def test_a_halo_too_small_would_show(srcnn):
    """The test above can fail: with no halo the tiles do differ."""
    image = photo(51, 70).astype(np.float32) / 255
    whole = upscale(srcnn, image, tile=0)
    srcnn.halo = 0
    assert np.abs(upscale(srcnn, image, tile=16) - whole).max() > 0.01


def steps(values, axis):
    """How much an enlarged picture changes from pixel to pixel along an axis, and at the cuts of
    tiles of 64."""
    step = np.abs(np.diff(values, axis=axis)).mean(axis=(1 - axis, 2))
    return step, step[[2 * 64 - 1, 2 * 128 - 1]]


@pytest.mark.parametrize("name, by", [("hat-nano", 0.06), ("rcan-nano", 0.03)])
def test_tiles_of_the_others_differ_little_and_show_no_seam(name, by):
    model, image = (
        lively(name, 2, by),
        builtin.builtin_image("cat")[:160, :160].astype(np.float32) / 255,
    )
    whole = upscale(model, image, tile=0, precision="fp32")
    difference = upscale(model, image, tile=64, precision="fp32") - whole
    assert (
        0 < np.abs(difference).max() < 0.05 * np.ptp(whole)
    )  # the means of channel attention are those of a tile
    for axis in (0, 1):
        everywhere, at_cuts = steps(difference, axis)
        assert at_cuts.max() <= 2 * np.median(everywhere)


@pytest.mark.parametrize("local", [False, True])
def test_what_a_tile_adds_as_a_whole_fades_into_the_next(local):
    class Mean(Network):  # the worst that channel attention could do
        scale, halo = 2, 32

        def forward(self, lr):
            return (lr + lr.mean()).repeat_interleave(2, 2).repeat_interleave(2, 3)

    model, ramp = Mean(), np.linspace(0, 1, 160, dtype=np.float32)
    model.local = local
    result = upscale(
        model, np.broadcast_to((ramp[:, None] + ramp)[..., None] / 2, (160, 160, 3)).copy(), tile=64
    )
    for axis in (0, 1):
        largest = steps(result, axis)[1].max()
        assert (
            largest > 0.1 if local else largest < 0.02
        )  # cut off sharply, which the test has to see, or faded


@pytest.mark.parametrize(
    ("length", "side", "halo", "fade"),
    [(100, 32, 32, 16), (97, 16, 32, 8), (65, 32, 5, 0), (33, 32, 32, 16), (1, 16, 3, 1)],
)
def test_weights_of_tiles_sum_to_one(length, side, halo, fade):
    total = torch.zeros(3 * length)
    for span in tiles.spans(length, side, halo, fade, 3):
        assert span.seen.start <= span.kept.start < span.kept.stop <= span.seen.stop
        total[3 * span.kept.start : 3 * span.kept.stop] += span.weights
    torch.testing.assert_close(total, torch.ones(3 * length))


def test_tiles_are_whole_windows():
    model, seen = models.create("hat-nano", 2).eval(), []
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[2:]))
    upscale(model, photo(100, 90), tile=20)
    assert len(seen) == 5 * 4 and all(side % 8 == 0 for shape in seen for side in shape)
    assert max(seen) == (
        32 + 24 + 32,
        80,
    )  # 24 with a halo of 32; the image has 90 columns, so no tile has both halos


def test_large_images_are_tiled_by_themselves(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (81, 90, 3), dtype=np.uint8)
    model = Blocks()
    monkeypatch.setattr(memory, "LARGE", 60 * 60)
    assert np.array_equal(upscale(model, image), image.repeat(2, 0).repeat(2, 1))
    assert len(model.sizes) == 4 and max(map(max, model.sizes)) == 48 + 3


def test_little_memory_means_small_tiles(monkeypatch):
    image, model = np.zeros((300, 300, 3), np.uint8), models.create("hat-nano")
    sides = {}
    for gigabytes in (64, 4, 2, 1):
        monkeypatch.setattr(devices, "free_memory", lambda _, g=gigabytes: g << 30)
        for case in ("cpu fp32", "cuda tf32", "cuda bf16", "cuda readable", "mps fp32"):
            where, precision = case.split()
            models.set_fused(model, precision != "readable")
            side = memory.tile_side(model, image, torch.device(where), precision)
            sides.setdefault(case, []).append(side)
    assert sides == {
        "cpu fp32": [300, 300, 192, 112],
        "cuda tf32": [300, 300, 192, 112],
        "cuda bf16": [300, 300, 300, 160],
        "cuda readable": [300, 144, 80, 32],
        "mps fp32": [300, 144, 80, 32],
    }


FLAT = """
import resource, numpy as np
from hatlib.inference.upscale import upscale
from hatlib.models import Network

class Fading(Network):
    scale, halo, local = 4, 16, False
    def forward(self, lr):
        return lr.repeat_interleave(4, 2).repeat_interleave(4, 3)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

image = np.zeros((SIDE, SIDE, 3), np.uint8)
upscale(Fading(), image[:256, :256], tile=128)
before = peak()
result = upscale(Fading(), image, tile=128)
print(peak() - before - result.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the measure of memory differs elsewhere")
def test_memory_beside_the_result_does_not_grow_with_the_image():
    """From 512 to 2048 pixels: 16 times as many, and no more than the strips between two rows of
    tiles on top."""
    beside = []
    for side in (512, 2048):
        code = FLAT.replace("SIDE", str(side))
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        beside.append(int(done.stdout))
    assert beside[1] - beside[0] < 20e6  # one float copy of the result would be 800 MB


COMMAND = """
import resource, sys
from hatlib.cli.app import main
assert main(["upscale", "lr.png", "sr.png", "--model", "MODEL"]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the measure of memory differs elsewhere")
@pytest.mark.parametrize(("model", "bits"), [("hat-nano-x4", 8), ("srcnn-x4", 16), ("bicubic", 16)])
def test_memory_is_what_doctor_says(tmp_path, model, bits):
    kind = np.uint16 if bits == 16 else np.uint8
    lr = np.random.default_rng(0).integers(0, 2**bits, (200, 300, 3), dtype=kind)
    user_files.write_picture(tmp_path / "lr.png", user_files.Picture(lr))
    command = [sys.executable, "-c", COMMAND.replace("MODEL", model)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    most = memory.expected(200 * 300, bits=bits)
    assert most / 5 < int(done.stdout.splitlines()[-1]) < most


def test_free_memory_is_a_sound_number():
    assert 1 << 26 < devices.free_memory(torch.device("cpu")) < 1 << 44


def test_progress_is_told_when_there_is_much_to_do():
    calls = []
    upscale(
        Blocks(), photo(64, 80), tile=16, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(done, 20) for done in range(1, 21)]
    calls.clear()
    upscale(Blocks(), photo(64, 80), progress=lambda done, total: calls.append((done, total)))
    assert calls == []


# --- out of memory

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
@pytest.mark.parametrize("tile", [None, 0, 64])
def test_out_of_memory_is_tried_again_with_smaller_tiles(error, tile, caplog):
    model = Blocks(30 * 30, error)
    assert np.array_equal(
        upscale(model, photo(60, 70), tile=tile), photo(60, 70).repeat(2, 0).repeat(2, 1)
    )
    assert max(h * w for h, w in model.sizes) <= 30 * 30
    assert "out of memory with tiles of" in caplog.text  # said, not hidden


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_out_of_memory_with_the_smallest_tile_is_an_error(error):
    with pytest.raises(
        HatlibError, match=r"out of memory on cpu even with tiles of 17×17 LR pixels \(23×23"
    ):
        upscale(Blocks(100, error), photo(60, 70))
    with pytest.raises(HatlibError, match="out of memory"):
        upscale(Blocks(0, error), photo(1, 1))


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        upscale(Blocks(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied")), photo())


# --- ensemble


@pytest.mark.parametrize("name", ["srcnn", "hat-nano"])
def test_the_ensemble_is_the_mean_over_flips_and_transposes(name):
    model, image = lively(name, 2), photo(11, 14).astype(np.float32) / 255
    by_hand = np.zeros((22, 28, 3))
    for turns in range(4):
        for mirrored in (False, True):
            turned = np.rot90(image[:, ::-1] if mirrored else image, turns)
            back = np.rot90(upscale(model, np.ascontiguousarray(turned), precision="fp32"), -turns)
            by_hand += (back[:, ::-1] if mirrored else back) / 8
    ensemble = upscale(model, image, precision="fp32", ensemble=True)
    np.testing.assert_allclose(ensemble, by_hand, atol=1e-6)
    assert np.abs(upscale(model, image, precision="fp32") - by_hand).max() > 1e-4


# --- precision


def computed_in(model, **options):
    """The types that the layers of the body and the last convolution give."""
    types = {}

    def note(module, _, out):
        types[module] = out.dtype

    hooks = [
        module.register_forward_hook(note)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]
    upscale(model, photo(16, 16), **options)
    for hook in hooks:
        hook.remove()
    return list(types.values())


@pytest.mark.parametrize("name", ["rcan-nano", "swinir-nano", "hat-nano"])
def test_automatic_precision(name, monkeypatch):
    model = models.create(name).eval()
    monkeypatch.setattr(devices, "fast_bfloat16", lambda where: True)
    types = computed_in(model)
    last = 3 if name == "rcan-nano" else 1  # which has two convolutions that only shift the mean
    assert (
        types.count(torch.float32) == last and types[-1] == torch.float32
    )  # what gives colours, and only that
    assert types.count(torch.bfloat16) == len(types) - last
    assert set(computed_in(model, precision="fp32")) == {torch.float32}
    monkeypatch.setattr(devices, "fast_bfloat16", lambda where: False)
    assert set(computed_in(model)) == {torch.float32}
    assert not any("forward" in vars(module) for module in model.modules())


def test_small_networks_stay_in_float32(srcnn, monkeypatch):
    monkeypatch.setattr(devices, "fast_bfloat16", lambda where: True)
    assert set(computed_in(srcnn)) == {torch.float32}


@pytest.mark.parametrize("name", ["srcnn", "rcan-nano", "swinir-nano", "hat-nano"])
def test_bfloat16_is_close_to_float32(name):
    model, image = lively(name, 2), photo(32, 48).astype(np.float32) / 255
    exact, fast = (upscale(model, image, precision=precision) for precision in ("fp32", "bf16"))
    # against what the network adds to a picture, whatever that is worth with random weights
    assert 0 < np.abs(fast - exact).mean() < 0.02 * np.abs(exact - exact.mean()).mean()


@pytest.mark.parametrize("name", ["rcan-nano", "hat-nano"])
def test_one_model_serves_two_threads_in_two_precisions(name):
    model = lively(name, 2)
    image = photo(48, 48).astype(np.float32) / 255
    alone = {each: upscale(model, image, precision=each) for each in ("fp32", "bf16")}
    assert not np.array_equal(alone["fp32"], alone["bf16"])
    meet = threading.Barrier(2)
    together = {"fp32": [], "bf16": []}

    def work(precision):
        for _ in range(8):
            meet.wait(60)
            together[precision].append(upscale(model, image, precision=precision))

    threads = [threading.Thread(target=work, args=(precision,)) for precision in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for precision, results in together.items():
        assert len(results) == 8
        assert all(np.array_equal(result, alone[precision]) for result in results), precision


@pytest.mark.parametrize("name", ["swinir-nano", "hat-nano", "drct"])
def test_float16_is_refused_where_activations_overflow(name):
    model = models.create(
        name, **({"embed_dim": 36, "num_heads": 6, "depths": (2,)} if name == "drct" else {})
    )
    with pytest.raises(HatlibError, match=r"fp16 is refused .* exceed 65504"):
        upscale(model.eval(), photo(), precision="fp16")


@pytest.mark.parametrize("name", ["srcnn", "rcan-nano", "nearest"])
def test_float16_where_it_is_enough(name):
    model = lively(name, 2, 0.001)
    difference = upscale(model, photo(), precision="fp16").astype(int) - upscale(
        model, photo(), precision="fp32"
    )
    assert np.abs(difference).max() <= 2


def test_bad_requests_are_refused(srcnn):
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(HatlibError, match="unknown precision 'fp17'"):
        upscale(srcnn, image, precision="fp17")
    for tile in (-1, 1, 15):  # so small that nearly all is halo
        with pytest.raises(HatlibError, match=rf"tile is {tile};.* from 16 up"):
            upscale(srcnn, image, tile=tile)
    for wrong in (image.astype(np.int32), image[..., :2], image.astype(np.uint16)[:0], [[1]]):
        with pytest.raises(HatlibError, match="an image"):
            upscale(srcnn, wrong)
    with pytest.raises(HatlibError, match="not finite"), torch.no_grad():
        srcnn.conv3.bias.fill_(float("nan"))
        upscale(srcnn, image)


# --- pictures


def test_alpha_is_enlarged_apart_and_the_profile_kept(srcnn):
    alpha = photo(10, 12)[..., 0]
    picture = user_files.Picture(photo(10, 12), alpha, b"profile")
    large = inference.upscale_picture(srcnn, picture)
    assert np.array_equal(large.pixels, upscale(srcnn, picture.pixels))
    assert large.alpha is not None and np.array_equal(
        large.alpha, upscale(models.create("bicubic"), alpha)
    )
    assert large.profile == b"profile"
    opaque = user_files.Picture(photo(10, 12), np.full((10, 12), 255, np.uint8))
    assert (inference.upscale_picture(srcnn, opaque).alpha == 255).all()


def test_memory_is_given_back_where_sizes_change(monkeypatch):
    released = []
    monkeypatch.setattr(devices, "release_memory", lambda: released.append(1))
    monkeypatch.setattr(memory, "_last_shape", None)
    model = models.create("nearest", 2)
    for side, count in ((8, 0), (8, 0), (9, 1), (9, 1), (8, 2)):
        upscale(model, photo(side, 8))
        assert len(released) == count


def test_onednn_without_room_is_out_of_memory():
    assert memory.out_of_memory(RuntimeError("could not create a primitive"))
