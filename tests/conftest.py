"""Fixtures that more than one room needs."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

import warm
from killing import Ask, Order, as_line
from made_up import browser, floors, history, images, make_predictions  # noqa: F401 (fixtures)
from support import TINY, Command, tumor_pictures

os.environ.pop("COLUMNS", None)  # of pytest-xdist; sentences would be wrapped as on a terminal
os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's client is imported: tests download nothing

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # behind a shell's `&`, and so in children
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What commands keep for later runs goes to a folder of the tests."""
    os.environ["BT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small nets are quicker on one thread, above all beside other tests."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def nickparvar() -> Path:
    """Folder of the real images: Training/ and Testing/ with four classes each."""
    root = Path(os.environ.get("BT_NICKPARVAR", SHARED / "data" / "nickparvar"))
    if not (root / "Training").is_dir():
        pytest.skip(f"no real images at {root}; set BT_NICKPARVAR to the Nickparvar folder")
    return root


@pytest.fixture(scope="session")
def imagenet_weights() -> Path:
    """ImageNet weights of mobilenetv2_035, with their .json beside them."""
    default = SHARED / "weights" / "mobilenetv2_035_imagenet.safetensors"
    path = Path(os.environ.get("BT_WEIGHTS", default))
    if not path.is_file():
        pytest.skip(f"no weights at {path}; set BT_WEIGHTS to mobilenetv2_035_imagenet.safetensors")
    return path


@pytest.fixture(scope="session")
def bt() -> Command:
    """bt("train", "seed=1", cwd=folder, code=0): the command's exit code, stdout and stderr.

    main() in this process: imports, which take most of a small run, happen once.
    code: what it has to end with; None: anything.  env: variables of its environment.
    """

    def run(
        name: str, *arguments: str, cwd: Path, code: int | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        main = importlib.import_module(f"braintumor.cli.{name}").main
        words = [f"bt-{name}", *arguments]
        out, err = io.StringIO(), io.StringIO()
        log = logging.getLogger("braintumor")
        log.handlers.clear()  # one would write to the output of the command before
        ended = 0
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(sys, "argv", words))
            stack.enter_context(mock.patch.dict(os.environ, env))
            stack.enter_context(contextlib.chdir(cwd))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            try:
                main()
            except SystemExit as end:
                ended = int(end.code or 0)
        log.handlers.clear()
        assert code in (None, ended), out.getvalue() + err.getvalue()
        return subprocess.CompletedProcess(words, ended, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def bt_process() -> Command:
    """The same in a process of its own, as a user has it."""

    def run(
        name: str, *arguments: str, cwd: Path, code: int | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        start = f"import sys; sys.argv[0] = 'bt-{name}'; from braintumor.cli.{name} import main"
        done = subprocess.run(
            [sys.executable, "-c", f"{start}; main()", *arguments], cwd=cwd,
            env={**os.environ, **env}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def no_drawings() -> Iterator[None]:
    """Charts are empty: drawing takes most of the time of a small run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second, for few tests

    with mock.patch.object(FigureCanvasAgg, "draw", warm.draw_nothing):
        yield


@pytest.fixture(scope="session")
def _warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("warm")
    server = subprocess.Popen(
        [sys.executable, str(Path(warm.__file__)), str(folder / "socket")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with server:
        assert server.stdin and server.stdout and server.stdout.readline() == b"ready\n"
        yield warm.install(folder)
        server.stdin.close()


@pytest.fixture
def warm_python(_warm: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Processes that are started as sys.executable have their imports behind them."""
    monkeypatch.setattr(sys, "executable", str(_warm))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return _warm


@pytest.fixture(scope="session")
def trained(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs on phantoms."""
    folder = tmp_path_factory.mktemp("trained")
    done = bt("train", *TINY, "train.max_epochs=2", "run_dir=run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "report: run/eval/test/report.html" in done.stdout
    return folder / "run"


@pytest.fixture(scope="session")
def ask() -> Iterator[Ask]:
    """The exit code of a command that is killed, limited or watched; -9 when it was killed."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killing.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdin and server.stdout

        def answer(order: Order) -> int:
            server.stdin.write(as_line(order))
            server.stdin.flush()
            return int(server.stdout.readline())

        yield answer
        server.stdin.close()


@pytest.fixture(scope="session")
def kill_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of two classes in mri/."""
    folder = tmp_path_factory.mktemp("kills")
    for split, count in (("Training", 12), ("Testing", 6)):
        tumor_pictures(folder / "mri" / split, count, seed=count)
    return folder
