"""Fine-tuning a model on a customer's own noisy captures: no clean picture, no calibration, no other data.

::

    frames.py        files → frames with their noise              regions.py    what is trained on, what is judged on
    static_pairs.py  two frames of one scene                      patches.py    training patches of the one
    defects.py       photosites that are wrong every time         judge.py      base and candidate on the other
    character.py     tails and correlation of the noise           stein.py · bootstrap.py · verdict.py
    plan.py          objective, patches, batch, steps             pipeline.py   all of it, as a list of steps
    report.py        what is told                                 release.py    the candidate as a new model version

Importing this package imports no torch.
"""
