"""What commands print: to a reader that has left, a full disk, nobody at all, or a file's name."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from braintumor.errors import listed_by_reason
from braintumor.workflows import console

WORK = (
    "import sys\n"
    "from braintumor.workflows.console import complain, log, log_to_console, open_standard_files\n"
    "open_standard_files()\n"
    "log_to_console()\n"
    "file = open('data', 'w')\n"
    "for i in range(2000): log.info('line %d', i)\n"
    "complain('at the end')\n"
    "file.write('all of it')\n"
    "file.close()\n"
    "log.info('Å')\n"
)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (">/dev/full", "No space left on device"), (">/dev/full 2>/dev/full", ""),
        (">&-", "at the end"), ("2>&-", ""), ("<&- >&- 2>&-", ""), ("| true", ""),
    ],
)  # fmt: skip
def test_work_goes_on_whatever_becomes_of_what_it_prints(
    where: str, said: str, tmp_path: Path
) -> None:
    """And what is printed comes into no file that was opened since."""
    (tmp_path / "work.py").write_text(WORK)
    done = subprocess.run(
        f"{sys.executable} work.py {where}; echo code $? >code", shell=True, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (tmp_path / "data").read_text() == "all of it"
    assert (tmp_path / "code").read_text() == "code 0\n"
    assert "Traceback" not in done.stderr and said in done.stderr


ON_A_TERMINAL = (
    "import os, signal, sys\n"
    "from braintumor.interrupts import listening\n"
    "from braintumor.progress import bar\n"
    "from braintumor.workflows.console import complain, log, log_to_console\n"
    "signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))\n"
    "log_to_console()\n"
    "try:\n"
    "    with listening():\n"
    "        for i in bar('work', range(2_000_000)): i % 100 or log.info('line %d', i)\n"
    "    open('done', 'w').close()\n"
    "except KeyboardInterrupt:\n"
    "    complain('interrupted')\n"
    "    print('and printed')\n"
    "    open('told', 'w').close()\n"
)


@pytest.mark.parametrize(("handler", "leaves"), [("SIG_IGN", "done"), ("SIG_DFL", "told")])
def test_a_terminal_that_closes_ends_no_line_of_work(
    handler: str, leaves: str, tmp_path: Path
) -> None:
    """Ignored, as under nohup or after `disown`, the work goes on; else it is told to end."""
    (tmp_path / "work.py").write_text(ON_A_TERMINAL)
    ours, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "work.py", handler], cwd=tmp_path, stdin=terminal, stdout=terminal,
        stderr=terminal, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(terminal)
    os.read(ours, 1)  # it has begun
    os.close(ours)
    assert process.wait(60) == 0
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ""] == [leaves]


def test_a_line_break_in_a_name_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a.png\nreport: forged"
    console.log.handlers.clear()
    console.log_to_console()
    console.log.info("%-10s %s", name, Path(name))
    console.log.handlers.clear()
    assert capsys.readouterr().out == "a.png\\nreport: forged a.png\\nreport: forged\n"
    listed = listed_by_reason([(name, "no\nerror: forged"), ("b.png", "empty")])
    assert listed.splitlines() == ["  a.png\\nreport: forged: no\\nerror: forged", "  b.png: empty"]


@pytest.mark.parametrize("columns", [None, "14"])
def test_a_figure_and_its_sign_stay_together_and_can_be_searched(
    columns: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    console.log.handlers.clear()
    console.log_to_console()
    console.log.info("accuracy is 95\N{NO-BREAK SPACE}% of all")
    console.log.handlers.clear()
    between = "\n  " if columns else " "
    assert capsys.readouterr().out == f"accuracy is{between}95 % of all\n"


def test_a_log_file_on_a_full_disk_prints_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    handler = console.log_to_file(Path("/dev/full"))
    try:
        console.log.warning("x")
    finally:
        console.log.removeHandler(handler)
        handler.stream = io.StringIO()  # what it could not write stays in it
    assert "Traceback" not in capsys.readouterr().err
