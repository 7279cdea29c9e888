"""Fixtures that more than one room needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import TINY, Command

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What commands keep for later runs goes to a folder of the tests."""
    os.environ["BT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


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
    """bt("train", "seed=1", cwd=folder): the command's exit code, stdout and stderr."""

    def run(name: str, *arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        code = (
            f"from braintumor.cli.{name} import main; import sys; sys.argv[0] = 'bt-{name}'; main()"
        )
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=cwd,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **env},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def trained(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs on phantoms."""
    folder = tmp_path_factory.mktemp("trained")
    done = bt("train", *TINY, "train.max_epochs=2", "run_dir=run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "report: run/eval/test/report.html" in done.stdout
    return folder / "run"
