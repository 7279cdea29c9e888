"""How many operations a step is: on a GPU each is a launch, and launching takes longest."""

from __future__ import annotations

from collections import Counter

import pytest

from braintumor.data.tensors import Augment, AugmentSettings
from braintumor.models.classifier import Classifier, build_model
from braintumor.training.batches import predict_logits
from braintumor.training.loop import fit
from braintumor.training.recipe import Phase
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.workflows.compose import compose
from operations import operations
from small_fit import CLASSES, SIDE, recipe, split

BATCH = 4


SETTINGS = compose("train", ["model=mobilenet", "augment=light"], {}).settings


def mobilenet() -> Classifier:
    backbone = SETTINGS["model"]["backbone"] | {"weights": "none"}
    return build_model(SETTINGS["model"] | {"backbone": backbone}, CLASSES, SIDE)


def light() -> Augment:
    return Augment(AugmentSettings(**SETTINGS["augment"]), CLASSES)


@pytest.fixture(scope="module")
def step() -> Counter[str]:
    """Of one step more: an epoch of three batches less one of two."""
    plan = recipe((Phase(1),), ema_decay=0.9, clip_norm=None, imbalance="none", batch_size=BATCH)

    def epoch(batches: int) -> Counter[str]:
        state = FitState(mobilenet(), BestCheckpoint(plan.train.early_stopping))
        train = split(BATCH * batches, 1)
        return operations(lambda: list(fit(state, train, None, plan, light())))

    counted = epoch(3)
    counted.subtract(epoch(2))
    return counted


def test_a_training_step_is_at_most_300_operations(step: Counter[str]) -> None:
    """It was 460, of which 109 for the moving average and 54 more for the augmentation."""
    assert step.total() <= 300, step


def test_the_moving_average_is_one_operation(step: Counter[str]) -> None:
    assert {name: step[name] for name in step if "lerp" in name} == {"_foreach_lerp_": 1}


def test_no_activation_is_copied_for_its_gradient(step: Counter[str]) -> None:
    assert step["hardtanh_"] == step["clone"] == 0 < step["hardtanh"]


def test_no_step_reads_a_value(step: Counter[str]) -> None:
    """It would wait for the device."""
    assert step["_local_scalar_dense"] == step["nonzero"] == 0


def test_an_evaluation_batch_is_at_most_65_operations() -> None:
    model = mobilenet()

    def batches(count: int) -> Counter[str]:
        images = split(BATCH * count, 1).images
        return operations(lambda: predict_logits(model, images, batch_size=BATCH))

    counted = batches(3)
    counted.subtract(batches(2))
    assert counted.total() <= 65, counted
    assert counted["_local_scalar_dense"] == 0
