"""The catalogue of public data sets: what each is for, how large it is, under what terms, and what
to cite.

The files themselves, with addresses and checksums, are in `hatlib.data.registry`. Training sets and
test sets are kept apart: what would leak a test image is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from hatlib.data import builtin
from hatlib.errors import unknown

_SELFEXSR = "https://github.com/jbhuang0604/SelfExSR"
_NO_TERMS = "none stated by the source; a research benchmark: not to be passed on"


@dataclass(frozen=True)
class DataSet:
    """What the catalogue says of a set."""

    name: str
    title: str
    purpose: str
    files: int  # HR images that are fetched
    bytes: int  # of these together
    terms: str  # licence or terms of use, as the source states them
    citation: str
    homepage: str
    # of the original ×4 LR files, by the set's authors: one for each HR image, or none at all
    lr_bytes: int = 0
    # what the images are called in the literature, in the order of the files
    labels: tuple[str, ...] = ()
    # fetched with the set, but given neither for training nor for measuring
    left_out: tuple[str, ...] = ()
    note: str = ""


CATALOGUE = {
    entry.name: entry
    for entry in (
        DataSet(
            "set5",
            "Set5",
            "test",
            5,
            851_881,
            _NO_TERMS,
            "M. Bevilacqua, A. Roumy, C. Guillemot, M.-L. Alberi-Morel, Low-Complexity "
            "Single-Image Super-Resolution based on Nonnegative Neighbor Embedding, BMVC 2012",
            _SELFEXSR,
            lr_bytes=72_713,
            labels=("baby", "bird", "butterfly", "head", "woman"),
            note="butterfly is a crop of Set14's monarch",
        ),
        DataSet(
            "set14",
            "Set14",
            "test",
            14,
            4_974_816,
            _NO_TERMS,
            "R. Zeyde, M. Elad, M. Protter, On Single Image Scale-Up using Sparse-Representations, "
            "Curves and Surfaces 2010 (LNCS 6920, 2012)",
            _SELFEXSR,
            lr_bytes=364_045,
            labels=(
                "baboon",
                "barbara",
                "bridge",
                "coastguard",
                "comic",
                "face",
                "flowers",
                "foreman",
                "lenna",
                "man",
                "monarch",
                "pepper",
                "ppt3",
                "zebra",
            ),
            note="bridge has one channel; face is a crop of Set5's head; comic, flowers, zebra "
            "were cut to multiples of 4",
        ),
        DataSet(
            "bsd100",
            "BSD100 (B100)",
            "test",
            100,
            27_116_408,
            _NO_TERMS,
            "D. Martin, C. Fowlkes, D. Tal, J. Malik, A Database of Human Segmented Natural Images "
            "and its Application to Evaluating Segmentation Algorithms and Measuring Ecological "
            "Statistics, ICCV 2001",
            _SELFEXSR,
            lr_bytes=1_910_703,
            note="the 'val' part of BSDS500, which is why that part is no training data here",
        ),
        DataSet(
            "urban100",
            "Urban100",
            "test",
            100,
            135_627_074,
            "none stated by the source, which asks to cite the paper; photos from Flickr: not to "
            "be passed on",
            "J.-B. Huang, A. Singh, N. Ahuja, Single Image Super-Resolution from Transformed "
            "Self-Exemplars, CVPR 2015",
            _SELFEXSR,
            lr_bytes=9_428_841,
            note="LR for ×2 and ×3 is made from these files; the folder image_SRF_2 of the source "
            "is another set",
        ),
        DataSet(
            "bsds500",
            "BSDS500, train and test",
            "training",
            400,
            29_295_324,
            "non-commercial research and education (Berkeley's page of BSDS300); the copy on "
            "GitHub states no licence",
            "P. Arbelaez, M. Maire, C. Fowlkes, J. Malik, Contour Detection and Hierarchical Image "
            "Segmentation, IEEE TPAMI 33(5), 2011",
            "https://github.com/BIDS/BSDS500",
            left_out=("bsds500/train/302003.jpg",),
            note="'val' is BSD100 and not fetched; train/302003.jpg is the photo behind Set5's "
            "woman and left out",
        ),
        DataSet(
            "t91",
            "T91",
            "training",
            91,
            16_102_570,
            "none stated for the images; research use",
            "J. Yang, J. Wright, T. Huang, Y. Ma, Image Super-Resolution via Sparse "
            "Representation, IEEE TIP 19(11), 2010",
            "https://github.com/jiny2001/dcscn-super-resolution",
            note="t36 and t65 are the same picture",
        ),
        DataSet(
            "portraits",
            "Portraits, first half",
            "fine-tuning",
            24,
            8_584_085,
            "public domain (photos of the Government Printing Office)",
            "Official portraits of members of the US Congress, collected by "
            "github.com/unitedstates/images",
            "https://github.com/unitedstates/images",
            note="the persons can be recognised: for experiments with image quality only",
        ),
        DataSet(
            "portraits-more",
            "Portraits, second half",
            "fine-tuning",
            24,
            8_518_563,
            "public domain (photos of the Government Printing Office)",
            "Official portraits of members of the US Congress, collected by "
            "github.com/unitedstates/images",
            "https://github.com/unitedstates/images",
            note="other persons than in portraits, to measure on after fine-tuning with those",
        ),
        DataSet(
            "builtin",
            "Built-in pictures",
            "teaching",
            len(builtin.builtin_names()),
            0,
            "public domain or CC0 (photographs inside scikit-image), MIT (façades drawn by hatlib)",
            "S. van der Walt et al., scikit-image: image processing in Python, PeerJ 2:e453, 2014",
            "https://scikit-image.org",
            note="needs no download",
        ),
    )
}


def names() -> list[str]:
    """The names of the catalogue."""
    return list(CATALOGUE)


def info(name: str) -> DataSet:
    """What the catalogue says of a set.

    Raises:
        HatlibError: an unknown name; the nearest one is suggested.
    """
    if name not in CATALOGUE:
        raise unknown("data set", name, names())
    return CATALOGUE[name]
