"""What tests of the commands share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

# bt("train", "seed=1", cwd=folder)
Command = Callable[..., subprocess.CompletedProcess[str]]

# a training of seconds on phantoms
TINY = ["debug=tiny", "data.patients=24", "data.limit=null", "train.tensorboard=false"]
