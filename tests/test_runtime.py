"""What the program changes of the process: in one place, and only when it is asked to."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from braintumor.files import temporary_folder, write_atomic
from braintumor.runtime import choose_device, configure_torch, environment, seeded


def test_choosing_a_device_changes_nothing_and_cudnn_is_not_left_to_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_float32_matmul_precision()
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    choose_device("cpu")
    configure_torch(torch.device("cpu"))
    assert torch.backends.cudnn.benchmark and torch.get_float32_matmul_precision() == before
    try:
        configure_torch(torch.device("cuda"))
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.benchmark
        assert not torch.backends.cudnn.allow_tf32
        configure_torch(torch.device("cuda"), "tf32")
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before)


_LIBRARIES = sorted(Path(torch.__file__).parent.glob("lib/libgomp*"))


@pytest.mark.skipif(not _LIBRARIES, reason="this torch does not bring GCC's OpenMP")
@pytest.mark.parametrize(
    ("own", "turns"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_that_wait_leave_the_core_to_others(own: dict[str, str], turns: str) -> None:
    """A command tells the library of torch before that is loaded."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    script = (
        "import ctypes, sys, braintumor.cli.shell as shell; shell.configure_process(); "
        f"assert 'torch' not in sys.modules; ctypes.CDLL({str(_LIBRARIES[0])!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=known | {"OMP_DISPLAY_ENV": "verbose"} | own,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr) == [turns]


def test_seeds_hold_within_their_block_alone() -> None:
    device = torch.device("cpu")
    state = torch.random.get_rng_state()
    with seeded(3, device):
        first = torch.rand(4)
    assert torch.equal(torch.random.get_rng_state(), state)
    with seeded(3, device):
        assert torch.equal(torch.rand(4), first)


def test_files_and_folders_of_ours_get_the_permissions_that_the_umask_leaves(
    tmp_path: Path,
) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", "x")
        folder = temporary_folder(tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_the_home_folder_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mri").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "mri")
    assert environment()["working_directory"] == "~/mri"
    monkeypatch.chdir("/")
    assert environment()["working_directory"] == "/"
