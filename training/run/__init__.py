"""The parts of a training run that `training/loop.py` puts together: data, budget, hardware, log, checks as it goes."""
