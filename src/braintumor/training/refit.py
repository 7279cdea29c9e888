"""Training anew on training and validation images, for as long as validation found best.

Validation costs a fifth of the training images. Once it has chosen the number of epochs it is
no longer needed, and its images can be learnt from (Goodfellow et al. 2016, Deep Learning,
section 7.8, the first strategy there). Nothing measures the second training but the test split.
"""

from __future__ import annotations

import dataclasses

import pandas as pd

from braintumor.training.phases import Recipe

_FALLING = ("cosine", "onecycle")  # their smallest rates come at the end of the phase


def refit_recipe(recipe: Recipe, history: pd.DataFrame) -> Recipe:
    """The recipe with each phase as long as it took to its best epoch.

    history: a row an epoch, with the columns epoch, phase and is_best of records.EpochRecord. A
    phase that did not improve on the one before is left out, as its weights were.
    A phase that ran to its end under a schedule that falls to it is repeated whole: which of the
    last epochs is best is chance (on Nickparvar the last was .0016 of macro F1 below the best, mean
    of 11 runs, where the standard error of one is .005), and a shorter phase would be another
    schedule.
    """
    falls = recipe.scheduler["name"] in _FALLING
    phases = []
    for number, phase in enumerate(recipe.train.phases, start=1):
        rows = history[history["phase"] == number]
        if not rows["is_best"].any():
            continue
        begin, end = rows["epoch"].min(), rows["epoch"].max()
        is_whole = falls and end - begin + 1 == recipe.epochs_of(phase)
        last = end if is_whole else rows.loc[rows["is_best"], "epoch"].max()
        phases.append(dataclasses.replace(phase, epochs=int(last - begin + 1)))
    train = dataclasses.replace(recipe.train, phases=tuple(phases), epochs=None)
    return dataclasses.replace(recipe, train=train)
