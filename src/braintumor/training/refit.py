"""Training anew on training and validation images, for as long as validation found best.

Validation costs a fifth of the training images. Once it has chosen the number of epochs it is
no longer needed, and its images can be learnt from (Goodfellow et al. 2016, Deep Learning,
section 7.8, the first strategy there). Nothing measures the second training but the test split.
"""

from __future__ import annotations

import dataclasses

import pandas as pd

from braintumor.training.phases import Recipe


def refit_recipe(recipe: Recipe, history: pd.DataFrame) -> Recipe:
    """The recipe with each phase as long as it took to its best epoch.

    history: a row an epoch, with the columns epoch, phase and is_best of records.EpochRecord. A
    phase that did not improve on the one before is left out, as its weights were.
    """
    begin = history.groupby("phase")["epoch"].min()
    best = history[history["is_best"]].groupby("phase")["epoch"].max()
    phases = tuple(
        dataclasses.replace(phase, epochs=int(best[number] - begin[number] + 1))
        for number, phase in enumerate(recipe.train.phases, start=1)
        if number in best
    )
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, phases=phases))
