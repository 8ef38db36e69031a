"""Experiments: what produces the recorded results that notebooks, README and CLAIMS.md show.

Each runs as `python -m experiments.NAME`, and `--help` lists its options. Results go into
hatlib/evaluation/results/, from where `hatlib.evaluation.results.table` reads them. An experiment
may be stopped and started at any time: rows that are in its table are not computed again, and the
command says so; an interrupted training is resumed from its checkpoint. Times are rough, on two CPU
cores, with the number of steps that is recorded.

    NAME         takes      writes                       question
    ablation     1 hour     ablation.csv                 what are CAB and OCAB worth at nano size?
    pretraining  1.5 hours  pretraining.csv              does pre-training, or ×2 first, help?
    faces        2 hours    content.csv, faces.csv       buildings or faces? does fine-tuning help?
    architectures  10 min   architectures.csv            RCAN, SwinIR or HAT, seeds considered?
    real_photos  10 min     real-photos.csv              what does training on real degradation do?
    lam_study    1 hour     lam-study.csv, .png          do networks that use more pixels do better?
    reproduce    1 hour     reproduction.csv             PSNR and SSIM of whole sets, by image
    cards        1 hour     trained.csv, model cards     what do the course's own weights reach?
    cost         minutes    cost.csv                     parameters, operations and time, in turns
    picture      seconds    picture.png                  the README's picture
    claims       minutes    notebooks/CLAIMS.md          which of the survey's statements hold?

`tables` (files that grow), `bootstrap` (confidence intervals) and `command` (options that all
share) are what the experiments have in common.
"""

from hatlib.system import devices

# before an experiment imports torch, which reads how waiting threads wait
devices.prepare_cpu()
