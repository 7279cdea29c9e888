"""bt-eval: one checkpoint on one split, or several on several data sets."""

from __future__ import annotations

from braintumor.workflows.arguments import EvalArguments, Request
from braintumor.workflows.cross_dataset import CrossDatasetResult, evaluate_across
from braintumor.workflows.evaluate_checkpoint import evaluate_checkpoint
from braintumor.workflows.results import EvaluationResult


def evaluate(request: Request) -> EvaluationResult | CrossDatasetResult:
    """Evaluate a checkpoint on its own data or on any other; with on=[…] a matrix.

    request: the settings of configs/eval.yaml.
    Raises ConfigError, DataError, CheckpointError.
    """
    asked = request.arguments(EvalArguments)
    several = asked.ckpt if isinstance(asked.ckpt, list) else [asked.ckpt]
    if asked.on or len(several) > 1:
        return evaluate_across(request)
    return evaluate_checkpoint(request.changed(ckpt=several[0] if several else None))
