"""The classes in which a model and a data set can be compared, where theirs are not the same.

A model of several kinds of tumor can be judged on a data set of yes and no, and the other way
round.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from braintumor.data.labels import CANONICAL, collapse_to_binary
from braintumor.data.manifest import class_numbers
from braintumor.errors import DataError
from braintumor.quoting import pasteable
from braintumor.records import Predictions
from braintumor.statistics.decisions import NO_TUMOR, Decided, Decisions

# M images, K classes of the model

BINARY = (NO_TUMOR, "tumor")
_HALF = 0.5  # of the probability: from there on no other answer, joined or not, is more probable


def fit_labels(classes: Sequence[str], labels: Sequence[str]) -> tuple[tuple[str, ...] | None, str]:
    """The classes in which a model and a data set can be compared, and what was done for it.

    classes: K names that the model knows.  labels: those of the data, harmonised.
    Both as they are where the model knows every label; both as no_tumor / tumor where one side
    is, and the other has no_tumor and known tumours; else None, and the reason.
    """
    found, known = set(labels), set(classes)
    if found <= known:
        return tuple(classes), ""
    strange = sorted(found - set(CANONICAL))
    if known == set(BINARY) and not strange:
        return BINARY, "labels of the data joined to no_tumor / tumor"
    if found <= set(BINARY) and known <= set(CANONICAL) and "no_tumor" in known:
        return BINARY, f"the model's {len(classes)} classes joined to no_tumor / tumor"
    if found <= set(BINARY) and "no_tumor" not in known:
        return None, "the model has no class no_tumor, and the data tells only tumor from no_tumor"
    unknown = ", ".join(strange or sorted(found - known))
    return None, f"the model does not know {unknown}; it knows {', '.join(classes)}"


def ways_to_fit(classes: Sequence[str], labels: Sequence[str], *, in_folders: bool) -> str:
    """What to type where `fit_labels` finds no classes: settings that work for these data.

    in_folders: the data set takes data.classes.

    >>> print(ways_to_fit(["glioma", "no_tumor"], ["astro", "no_tumor"], in_folders=True))
    add data.binary=true, which compares tumor with no_tumor alone, or \
'data.classes=[no_tumor]', which leaves the others out; or rename classes to those of the model
    """
    known = set(classes) & set(labels)
    if all(name.removeprefix("class_").isdecimal() for name in set(labels) - known):
        named = pasteable("data.class_names", classes)
        return f"say what 0, 1, … are in this data, in its own order, such as {named}"
    ways = []
    with contextlib.suppress(DataError):  # nothing tells which of them are healthy
        if fit_labels(classes, collapse_to_binary(labels))[0]:
            ways = ["data.binary=true, which compares tumor with no_tumor alone"]
    if in_folders and known:
        named = pasteable("data.classes", sorted(known))
        ways.append(f"{named}, which leaves the others out")
    add = f"add {', or '.join(ways)}; or " if ways else ""
    return f"{add}rename classes to those of the model"


def in_classes(
    predictions: Predictions, labels: Sequence[str], wanted: tuple[str, ...]
) -> Predictions:
    """The predictions with the labels of the data, both in the classes that `fit_labels` chose.

    predictions: of a model, whose own labels are not read.  labels: M, harmonised.
    Probabilities of the tumour classes are summed (in logits: log of the sum of exp).
    """
    logits = predictions.logits / predictions.temperature
    if set(wanted) == set(BINARY):
        labels = [label if label == NO_TUMOR else "tumor" for label in labels]
    if wanted != predictions.classes:
        if set(predictions.classes) == set(wanted):
            wanted = predictions.classes
        else:
            healthy = predictions.classes.index(NO_TUMOR)
            tumour = logsumexp(np.delete(logits, healthy, axis=1).astype(np.float64), axis=1)
            logits = np.stack([logits[:, healthy], tumour], axis=1)
    truth = class_numbers(labels, wanted)
    return Predictions(wanted, predictions.paths, truth, logits.astype(np.float32))


def answers_joined(classes: Sequence[str], decisions: Decisions | None) -> str:
    """What a reader must know where `in_classes` added up the tumor classes of a model.

    decisions: those fitted for the model, and so none for an ensemble.
    """
    tumors = ", ".join(name for name in classes if name != NO_TUMOR)
    said = [
        f"The data tell tumor from no_tumor only, so the answers of the model are joined: {tumors} "
        "count as tumor, whose probability is 1 minus that of no_tumor."
    ]
    if decisions is None or decisions.threshold is None:
        said.append("No threshold for a tumor was fitted: the more probable of the two counts.")
    else:
        said.append("The threshold for a tumor is the one fitted in training.")
    if decisions and (decisions.conformal, decisions.confidence) != (None, None):
        said.append(
            "Conformal sets and what is left to a person are those of training too: a set holds "
            "tumor where it held any of these classes, and an image is answered where the model "
            "was sure of one class of its own, so that what validation promised of the classes of "
            "the model holds of the two as well."
        )
    return " ".join(said)


def labels_joined(labels: Sequence[str]) -> str:
    """The same where the model tells tumor from no_tumor only, and the data name the tumors."""
    tumors = ", ".join(sorted({label for label in labels if label not in BINARY}))
    return (
        "The model tells tumor from no_tumor only, so the classes of the data are joined: "
        f"{tumors} count as tumor."
    )


def in_two(
    decisions: Decisions, decided: Decided, classes: Sequence[str]
) -> tuple[Decisions, Decided]:
    """What holds of joined answers, in the order of BINARY. classes: K, of the model.

    A set that holds the true class holds the joined one, so joined sets cover no less. An answer
    that is right stays right where it has half of the probability or more; below that the joined
    answer may be another, and no risk is promised. Where the network was sure is a matter of its
    own classes, so no confidence of joined answers stands for it. Joined logits are after the
    temperature, so that of the decisions becomes 1.
    """
    sets, answered, healthy = decided.sets, decided.is_answered, classes.index(NO_TUMOR)
    if sets is not None:
        sets = np.stack([sets[:, healthy], np.delete(sets, healthy, axis=1).any(axis=1)], axis=1)
    if decisions.confidence is None or decisions.confidence < _HALF:
        answered = None
    return (
        dataclasses.replace(decisions, temperature=1.0, confidence=None),
        dataclasses.replace(decided, sets=sets, is_answered=answered),
    )


def heat_targets(own: Predictions, shown: Predictions) -> np.ndarray:
    """The class of the model that speaks for each answer shown: int (M,).

    Of joined answers: no_tumor, or the most probable tumor.
    """
    if own.classes == shown.classes:
        return own.predicted
    healthy = own.classes.index(NO_TUMOR)
    of_tumors = own.logits.copy()
    of_tumors[:, healthy] = -np.inf
    is_healthy = shown.predicted == shown.classes.index(NO_TUMOR)
    return np.where(is_healthy, healthy, of_tumors.argmax(axis=1))
