"""Training as a function: a generator of epoch records. The caller logs, saves and stops."""

# B batch, K classes

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from braintumor.data.host_images import ImageSplit
from braintumor.data.tensors import Augment, Part, epoch_order
from braintumor.errors import TrainingError
from braintumor.interrupts import check
from braintumor.progress import bar
from braintumor.records import EpochRecord
from braintumor.runs.items import check_items
from braintumor.runtime import choose_precision, mix_seed, seeded
from braintumor.training.batches import Batches, PictureBatches
from braintumor.training.distributed import Sum, Team, team
from braintumor.training.features import feature_batches, keeps_features
from braintumor.training.graphed import StepOf, graphed
from braintumor.training.losses import Loss, balanced_weights, build_loss
from braintumor.training.recipe import Recipe, described, refuse_other
from braintumor.training.state import FitState, Partial
from braintumor.training.step import Step


def fit(
    state: FitState,
    train: ImageSplit,
    val: ImageSplit | None,
    recipe: Recipe,
    augment: Augment,
    *,
    resume_from: dict | None = None,
    progress: bool = False,
) -> Iterator[EpochRecord]:
    """Train through all phases; yields after each epoch, when `state` is safe to save.

    state: holds the model, on the device of `train` and `val`; changed in place.
    val: None trains to the end of every phase; the last epoch then counts as the best one.
    resume_from: a former `state.state_dict()`; what follows is bit for bit (on CPU) what an
    uninterrupted run would have done.
    progress: a bar with the time left, where standard error is a terminal.
    Of several processes that train together (distributed.py) each calls this with the same.
    Raises TrainingError when a loss is not finite, naming the batch; CheckpointError when
    `resume_from` is of another recipe; KeyboardInterrupt between two steps where a signal waits
    (interrupts.py): `state`, with the part of the epoch that is done, is then safe to save.
    """
    dtype = choose_precision(recipe.train.precision, train.device)
    steps = steps_per_epoch(recipe, train)
    state.recipe = described(recipe, augment.settings)
    if resume_from:
        check_items(resume_from)
        refuse_other(resume_from["recipe"], state.recipe)
        state.load_state_dict(resume_from, recipe, steps, dtype)
    together = team()
    together.check(recipe.train.batch_size)
    together.align(state.model)
    if recipe.train.compile:
        torch._dynamo.reset()  # what former trainings compiled counts against a limit of torch's
    is_weighted = recipe.train.imbalance == "class_weights"
    weights = balanced_weights(train.labels, state.model.num_classes) if is_weighted else None
    loss_of = build_loss(recipe.loss, weights)
    total, done = recipe.total_epochs * steps, state.epoch * steps + state.steps_of_epoch
    with bar("training", is_shown=progress, total=total, initial=done, unit="batches") as shown:
        job = _FitContext(
            state, train, val, recipe, augment, loss_of, weights, dtype, together, shown
        )
        for index in range(max(state.phase, 0), len(recipe.train.phases)):
            if index != state.phase:
                state.enter(index, recipe, steps, dtype)
            yield from _phase(job)


def steps_per_epoch(recipe: Recipe, train: ImageSplit) -> int:
    """Batches of an epoch."""
    return math.ceil(len(_order(recipe, train, epoch=0)) / recipe.train.batch_size)


@dataclass(frozen=True, eq=False)
class _FitContext:
    """What all phases share; only `state` and the bar change."""

    state: FitState
    train: ImageSplit
    val: ImageSplit | None
    recipe: Recipe
    augment: Augment
    loss_of: Loss
    class_weights: Tensor | None
    dtype: torch.dtype
    team: Team
    bar: tqdm


def _phase(job: _FitContext) -> Iterator[EpochRecord]:
    """The epochs that are left of the phase the state stands in."""
    state, recipe, model = job.state, job.recipe, job.state.model
    epochs, size = recipe.train.planned[state.phase].epochs, recipe.train.batch_size
    if state.phase_epoch == epochs or state.best.should_stop:
        return
    pictures = PictureBatches(job.train, job.val, job.augment, recipe.seed, size, job.dtype)
    batches: Batches = pictures
    if keeps_features(model, job.augment, recipe.features):
        progress, settings = not job.bar.disable, recipe.features
        with job.team.first():
            batches = feature_batches(model, pictures, settings, epochs=epochs, progress=progress)
    generator = torch.Generator(job.train.device)
    together = Sum(job.team, job.class_weights) if job.team.size > 1 else None
    step = Step(state, batches, job.loss_of, job.dtype, recipe.train.clip_norm, generator, together)
    is_graphed = recipe.train.records_graphs(job.train.device) and not together
    # a frozen backbone stays as it is for the phase
    with (
        model.fused() if model.is_backbone_frozen else nullcontext(),
        graphed(step, is_wanted=is_graphed) as train_on,
    ):
        while state.phase_epoch < epochs and not state.best.should_stop:
            yield _epoch(job, step, train_on)


def _epoch(job: _FitContext, step: Step, train_on: StepOf) -> EpochRecord:
    """Train on every image and validate; the state then stands behind the epoch."""
    state = job.state
    started = time.perf_counter()
    job.bar.set_description(f"training, epoch {state.epoch + 1} of {job.recipe.total_epochs}")
    order = _order(job.recipe, job.train, state.epoch)
    own = [job.team.rank] if job.team.rank else []  # or all would drop the same of their images
    with seeded(mix_seed(job.recipe.seed, "dropout", state.epoch, *own), job.train.device):
        done = _train_epoch(job, step, train_on, order)
    job.team.average_norms(state.model, state.ema.model if state.ema else None)
    trained = time.perf_counter()
    try:
        figures = step.batches.validate(state.evaluated)
        check()
    except KeyboardInterrupt:
        done.seconds += trained - started
        state.partial = done
        raise
    loss, accuracy = done.means(len(order))
    state.epoch += 1
    state.phase_epoch += 1
    cost = -state.epoch if job.val is None else state.best.cost_of(figures, state.epoch)
    state.schedule.observe(cost)
    record = EpochRecord(
        epoch=state.epoch,
        phase=state.phase + 1,
        lr=max(float(group["lr"]) for group in state.optimizer.param_groups),
        train_loss=loss,
        train_accuracy=accuracy,
        images_per_s=len(order) / (done.seconds + trained - started),
        seconds=done.seconds + time.perf_counter() - started,
        is_best=state.best.observe(cost, state.epoch, state.evaluated),
        **figures,
    )
    state.history.append(dataclasses.asdict(record))
    return record


def _train_epoch(job: _FitContext, step: Step, train_on: StepOf, order: np.ndarray) -> Partial:
    """One pass over `order`, or what is left of it: losses and hits over the augmented images."""
    state, seed, device = job.state, job.recipe.seed, job.train.device
    started = time.perf_counter()
    first = state.phase_epoch * state.schedule.steps_per_epoch
    state.model.train()
    done, state.partial = state.partial or Partial.new(device), None
    if job.team.size == 1:  # several have draws of their own
        done.set_generators()
    indices = torch.from_numpy(order).split(job.recipe.train.batch_size)
    begin = len(done.losses)
    if begin:  # where none is left, the record still says the rate of the last one
        state.schedule.set_lr(state.optimizer, first + begin - 1)
    for number, part, (fetched, labels_B) in _batches(job, step, indices, begin):
        state.schedule.set_lr(state.optimizer, first + number)
        step.generator.manual_seed(mix_seed(seed, "augment", state.epoch, number))
        loss, right = step(fetched, labels_B, part) if part else train_on(fetched, labels_B)
        if state.ema:
            state.ema.update()
        # kept on the device: reading a number here would wait for the GPU at every step
        done.losses.append(loss * len(indices[number]))
        done.hits += right
        try:
            check()
        except KeyboardInterrupt:
            _check_finite(done.losses, job, order)
            done.keep_generators(device)
            done.seconds += time.perf_counter() - started
            state.partial = done
            raise
        job.bar.update()
    _check_finite(done.losses, job, order)
    return done


def _batches(
    job: _FitContext, step: Step, indices: Sequence[Tensor], begin: int
) -> Iterator[tuple[int, Part | None, tuple[Tensor, Tensor]]]:
    """Of the batches from `begin` on: the number, this process's part, and what was fetched of it.

    Empty where none is left.
    """
    left = indices[begin:]
    if not left:
        return iter(())
    parts = [job.team.part(len(index_B)) for index_B in left]
    own = [
        part.of(index_B) if part and not step.batches.blends else index_B
        for part, index_B in zip(parts, left, strict=True)
    ]
    fetched = step.batches.fetch(own, job.state.epoch)
    return zip(range(begin, len(indices)), parts, fetched, strict=True)


def _order(recipe: Recipe, train: ImageSplit, epoch: int) -> np.ndarray:
    """Rows of the training images in the order of an epoch, in whole batches.

    With oversampling rows come more than once; where the last batch would be smaller, so do the
    first ones. A GPU spends seconds on each shape that is new to it, a graph holds for one shape,
    and batch norm learns little from a few images.
    """
    oversample, size = recipe.train.imbalance == "oversample", recipe.train.batch_size
    order = epoch_order(train.labels.cpu().numpy(), recipe.seed, epoch, oversample=oversample)
    missing = -len(order) % size if len(order) > size else 0
    return np.concatenate([order, order[:missing]])


def _check_finite(losses: list[Tensor], job: _FitContext, order: np.ndarray) -> None:
    finite = torch.isfinite(torch.stack(losses)).cpu()
    if finite.all():
        return
    step, size = int((~finite).nonzero()[0]), job.recipe.train.batch_size
    names = ", ".join(job.train.paths[i] for i in order[step * size :][: min(size, 3)])
    raise TrainingError(
        f"the loss became {losses[step].item()} in epoch {job.state.epoch + 1}, batch {step + 1} "
        f"of {job.state.schedule.steps_per_epoch} ({names}, …); the best checkpoint so far is "
        "intact: lower optimizer.lr, set train.clip_norm=1, or use train.precision=fp32"
    )
