"""bt-eval: a checkpoint on its own data set or on any other; several on several as a matrix."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.runs.checkpoint import find_checkpoint
from braintumor.workflows.arguments import EvalArguments, Request


def main() -> None:
    """Entry point of `bt-eval`."""
    command("eval", run)


def run(request: Request) -> None:
    """Evaluate what the settings say."""
    ckpt = request.arguments(EvalArguments).ckpt
    for path in ckpt if isinstance(ckpt, list) else [ckpt]:
        find_checkpoint(path)
    from braintumor.workflows.evaluate import evaluate  # torch, once there is a checkpoint

    evaluate(request)


if __name__ == "__main__":
    main()
