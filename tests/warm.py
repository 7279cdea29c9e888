"""A Python whose imports are done: it forks for each start, which then costs no seconds.

`serve` waits at a socket; the script of `install` asks it with the arguments of python (-m, -c),
hands over its environment and standard files, passes signals on, and ends as that work ends.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

_STUB = """#!{python} -SE
import json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({socket!r})
order = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(line, [len(order).to_bytes(4, "big")], [0, 1, 2])
line.sendall(order)
for known in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(known, lambda number, frame: line.send(bytes([number])))
os.close(0)  # or it would take what is meant for the other
code = int(line.recv(8) or b"1")
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


def install(folder: Path) -> Path:
    """An executable that stands for python, of the server at `folder`/socket."""
    path = folder / "warm_python"
    path.write_text(_STUB.format(python=sys.executable, socket=str(folder / "socket")))
    path.chmod(0o755)
    return path


def import_all() -> None:
    """What commands import, and pictures that take no time."""
    for name in (
        "cli.train", "cli.job", "workflows.train", "workflows.compare", "workflows.summary",
        "evaluation.evaluate", "evaluation.leakage", "report.plots.performance", "report.write",
        "training.loop", "models.attention.se", "models.backbones.cnn", "data.sources.phantom",
        "data.sources.folder",
    ):  # fmt: skip
        importlib.import_module(f"braintumor.{name}")
    import torch
    import torch._dynamo  # what any optimizer imports, in seconds
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    torch.set_num_threads(1)
    FigureCanvasAgg.draw = draw_nothing  # type: ignore[method-assign]


def draw_nothing(canvas: Any) -> None:
    """For matplotlib's `FigureCanvasAgg.draw`: drawing takes most of the time of a small run.

    The picture is empty, of the same size, and written as every other.
    """
    canvas.renderer = canvas.get_renderer()


def serve(path: str) -> None:
    """Until standard input closes."""
    import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that stand between
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(64)
    print("ready", flush=True)
    while door in select.select([door, 0], [], [])[0]:
        line, _ = door.accept()
        if not os.fork():
            door.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _stand_between(line)
            os._exit(0)
        line.close()


def _stand_between(line: socket.socket) -> None:
    """Fork once more for the work; pass on signals and the exit code."""
    length, files, _, _ = socket.recv_fds(line, 4, 3)
    order = b""
    while len(order) < int.from_bytes(length, "big"):
        order += line.recv(1 << 16)
    worker = os.fork()
    if not worker:
        line.close()
        _run(files, *json.loads(order))
    for file in files:
        os.close(file)
    ended = os.pidfd_open(worker)
    while ended not in (ready := select.select([line, ended], [], [])[0]):
        numbers = line.recv(64)
        for number in numbers or [signal.SIGKILL]:  # none: who asked has been killed
            os.kill(worker, number)
        if not numbers:
            return
    assert ready
    _, status = os.waitpid(worker, 0)
    line.send(str(os.waitstatus_to_exitcode(status)).encode())


def _run(files: list[int], words: list[str], environment: dict[str, str], folder: str) -> None:
    """In the process that does the work: what python would do with the words."""
    code = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = (open(fd, "w", buffering=1, closefd=False) for fd in (1, 2))  # noqa: SIM115
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        first = next(i for i, word in enumerate(words) if word in ("-m", "-c"))
        sys.argv = [words[first], *words[first + 2 :]]
        if words[first] == "-m":
            runpy.run_module(words[first + 1], run_name="__main__", alter_sys=True)
        else:
            exec(words[first + 1], {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
