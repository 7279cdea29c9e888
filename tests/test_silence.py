"""On a terminal no command is silent for long: something moves every two seconds."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from support import slowness

SILENCE_S = 2.0
SMALL = ("model=cnn", "model.backbone.widths=[8,8]", "train.tensorboard=false", "debug=tiny")


def longest_silence(arguments: Sequence[str], cwd: Path) -> tuple[float, str]:
    """Seconds, and what came after them; of a command in a terminal."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(cwd)
        os.execv(sys.executable, [sys.executable, "-c", *arguments])
    last, silences, written = time.perf_counter(), [(0.0, "")], b""
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        try:
            text = os.read(terminal, 65536) if ready else None
        except OSError:  # closed
            break
        if text == b"":
            break
        if text:
            now = time.perf_counter()
            silences.append((now - last, text.decode(errors="replace")[:80]))
            last, written = now, written + text
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0, written.decode(errors="replace")[-2000:]
    return max(silences)


@pytest.mark.slow
def test_something_moves_on_the_terminal(trained: Path, tmp_path: Path) -> None:
    commands = {
        "train": ["data.patients=16", "data.size_px=96", "run_dir=run", *SMALL],
        "eval": [f"ckpt={trained}", "run_dir=eval"],
        "predict": [f"ckpt={trained}", f"input={trained / 'plots'}", "run_dir=predictions"],
        "data": ["data.patients=40", "data.size_px=96", "probe=true", "run_dir=data"],
        "compare": [f"runs=[{trained},run]", "different_images=true", "run_dir=comparison"],
    }
    silences = {}
    for name, arguments in commands.items():
        code = f"from braintumor.cli.{name} import main; main()"
        for _ in range(3):  # another process may have had the machine to itself for a while
            before = slowness()
            found, then = longest_silence([code, *arguments, "overwrite=true"], tmp_path)
            slow = max(before, slowness())
            silences[name] = min(silences.get(name, (99.0, "")), (round(found / slow, 2), then))
            if silences[name][0] <= SILENCE_S:
                break
    assert {n: s for n, s in silences.items() if s[0] > SILENCE_S} == {}, silences
