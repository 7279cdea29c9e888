"""A whole training step as one CUDA graph: its launches are recorded once and then sent at once.

A small network leaves a GPU waiting for Python between its kernels. The graph begins with the
pictures of a batch and ends with the optimizer; what differs from step to step reaches it in
tensors that stay where they are: pictures, labels, rates, and the seed of the augmentation.
Source: https://docs.pytorch.org/docs/stable/notes/cuda.html, "Whole-network capture".
"""

# B batch

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from braintumor.errors import first_line
from braintumor.training.step import Step

_WARM_UP = 3  # steps that libraries may need to choose their ways and allocate, as torch advises

log = logging.getLogger(__name__)

StepOf = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # as Step.__call__


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The one that records: cuBLAS keeps memory for each stream it has ever seen."""
    return torch.cuda.Stream(device)


class GraphedStep:
    """As the step: its first batches go the plain way, then a graph is recorded and replayed.

    All batches of a phase are of one size.
    What it returns is overwritten by the next call.
    """

    def __init__(self, step: Step) -> None:
        self._step, self._warm_ups, self._is_refused = step, 0, False
        self._stream = _stream(step.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: tuple[Tensor, Tensor] | None = None

    def __call__(self, fetched: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        if self._is_refused:
            return self._step(fetched, labels_B)
        if self._graph is None and self._warm_ups < _WARM_UP:
            return self._warm_up(fetched, labels_B)
        if self._graph is None:
            self._record(fetched, labels_B)
        if self._graph is None or self._outputs is None:
            return self._step(fetched, labels_B)
        for static, given in zip(self._inputs, (fetched, labels_B), strict=True):
            static.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._outputs

    def close(self) -> None:
        """Give back the memory of the graph, to which gradients belong as well."""
        self._step.state.optimizer.zero_grad(set_to_none=True)
        self._outputs, self._inputs = None, ()
        if self._graph:
            torch.cuda.synchronize(self._step.device)  # it may still run
            self._graph.reset()
            self._graph = None

    def _warm_up(self, fetched: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """A real step, on the stream that will record, so that nothing has to be undone."""
        self._warm_ups += 1
        current = torch.cuda.current_stream(self._step.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outputs = self._step(fetched, labels_B)
        current.wait_stream(self._stream)
        return outputs

    def _record(self, fetched: Tensor, labels_B: Tensor) -> None:
        """Record a step, which trains nothing; or refuse all others too, with a line that says why.

        The line comes once a phase.
        """
        self._inputs = (fetched.clone(), labels_B.clone())
        self._step.state.optimizer.zero_grad(set_to_none=True)  # gradients are to lie in the graph
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._step.generator)
        try:
            # other threads write files, and do not touch the device
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._outputs = self._step(*self._inputs)
        except RuntimeError as error:
            self._is_refused, self._inputs, self._outputs = True, (), None
            self._step.state.optimizer.zero_grad(set_to_none=True)
            _end_capture(self._step)
            reason = first_line(error)
            log.warning("train.cuda_graphs=true does not work here (%s); going on without", reason)
        else:
            self._graph = graph


def _end_capture(step: Step) -> None:
    """After a capture that failed: random generators believe that it goes on until one succeeds."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(step.generator)
    with suppress(RuntimeError), torch.cuda.graph(graph):
        torch.zeros((), device=step.device)


@contextmanager
def graphed(step: Step, *, is_wanted: bool) -> Iterator[StepOf]:
    """The step itself or, where wanted, its graph, whose memory is given back afterwards."""
    if not is_wanted:
        yield step
        return
    recorded = GraphedStep(step)
    try:
        yield recorded
    finally:
        recorded.close()
