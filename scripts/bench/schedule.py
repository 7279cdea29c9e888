"""Which child runs when: A B A B, one round after the other, within a budget of seconds."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.job import OURS, Job

ROWS = ("frozen_epoch", "frozen_10", "full_epoch", "evaluation", "job", "sweep", "ceiling")
Answer = dict[str, Any]
Launch = Callable[[Job], Answer]


@dataclass(frozen=True)
class Measurement:
    """One kind of work, by all who do it, in the order of a round."""

    kind: str
    attention: str
    contestants: tuple[str, ...]
    epochs: dict[str, int] = field(default_factory=dict)  # trained in truth

    @property
    def what(self) -> str:
        return f"{self.kind}/{self.attention}"


def plan(
    rows: Iterable[str],
    attentions: Iterable[str],
    contestants: Iterable[str],
    epochs: int,
    peer_epochs: int,
) -> list[Measurement]:
    """The measurements that the rows need; several rows read from one.

    Ours trains all `epochs` where a row asks for the whole work; the peers, whose epochs are
    alike, `peer_epochs` of them.
    """
    rows, contestants = set(rows), tuple(contestants)
    attentions = list(attentions) if rows & {"frozen_epoch", "frozen_10"} else []
    if "sweep" in rows and "none" not in attentions:
        attentions.insert(0, "none")  # twelve times this is what the peers need for it

    def trained(whole: bool) -> dict[str, int]:
        few = min(peer_epochs, epochs)
        return {c: epochs if whole and c in OURS else few for c in contestants}

    found = [
        Measurement("frozen", a, contestants, trained(bool(rows & {"frozen_10", "sweep"})))
        for a in attentions
    ]
    if rows & {"full_epoch", "job"}:
        found.append(Measurement("full", "none", contestants, trained("job" in rows)))
    if "evaluation" in rows:
        found.append(Measurement("eval", "none", contestants, trained(False)))
    if "sweep" in rows and "ours" in contestants:
        found.append(Measurement("sweep", "none", ("ours",), {"ours": epochs}))
    if "ceiling" in rows:
        found.append(Measurement("ceiling", "none", ("synthetic",), {"synthetic": 0}))
    return found


def run(
    measurements: list[Measurement],
    base: Job,
    repeats: int,
    budget_s: float,
    launch: Launch,
    keep: Callable[[list[Answer], list[str]], None],
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[Answer], list[str]]:
    """All answers, and what the budget left out, in sentences.

    The first round does everything, whatever the budget; in later ones a measurement is left
    out when its first round took longer than what is left.
    keep: called after every child with all that is there, so that nothing is lost.
    """
    began, answers, notes = clock(), [], []
    cost: dict[str, float] = {}
    for number in range(repeats):
        for measurement in measurements:
            left = budget_s - (clock() - began)
            if number and cost[measurement.what] > left:
                notes.append(f"{measurement.what}: repeat {number + 1} left out, budget spent")
                continue
            since = clock()
            for contestant in measurement.contestants:
                job = _job(base, measurement, contestant, number)
                print(f"{job.what}, {contestant}, {number + 1} of {repeats}", flush=True)
                answer = launch(job)
                names = {"contestant": contestant, "what": job.what, "repeat": number}
                answers.append(names | {"asked_epochs": job.epochs} | answer)
                keep(answers, notes)
            cost[measurement.what] = clock() - since
    if clock() - began > budget_s:
        notes.append(f"one round took longer than the budget of {budget_s:.0f} s")
    keep(answers, notes)
    return answers, notes


def _job(base: Job, measurement: Measurement, contestant: str, number: int) -> Job:
    """`again` finds the cache that `ours` has filled in the same round; else caches are empty."""
    what = measurement.what.replace("/", "_")
    work = Path(base.place)
    place = work / f"{what}_{contestant}_{number}"
    place.mkdir(parents=True)
    return dataclasses.replace(
        base,
        contestant=contestant,
        kind=measurement.kind,
        attention=measurement.attention,
        epochs=measurement.epochs[contestant],
        cache=str(work / f"{what}_cache_{number}"),
        place=str(place),
    )


def launch_child(script: Path) -> Launch:
    """A launcher: each job in a process of its own, whose output goes to a file in its place."""

    def launch(job: Job) -> Answer:
        place = Path(job.place)
        began = time.perf_counter()
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if job.device == "cpu" else {}
        dataclasses.replace(job, born=time.time()).write(place / "job.json")
        with (place / "output.txt").open("w") as output:
            done = subprocess.run(
                [sys.executable, str(script), "--child", str(place / "job.json")],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **hidden, "BT_CACHE": job.cache},
                check=False,
            )
        wall_s = time.perf_counter() - began
        if done.returncode:
            lines = (place / "output.txt").read_text(errors="replace").strip().splitlines()
            print("\n".join(lines[-15:]), file=sys.stderr)
            why = lines[-1] if lines else "no output"
            return {"failed": f"exit code {done.returncode}: {why}", "wall_s": wall_s}
        return json.loads((place / "answer.json").read_text()) | {"wall_s": wall_s}

    return launch
