"""How long the search for copies takes, and how many of 300 planted ones it finds.

    python scripts/copies_speed.py OUT [--counts 10000 100000]

OUT: a folder for the thumbnails, which are drawn once: a quarter of an hour for 100,000. The search
alone is timed. Phantoms of 96 px, five slices a patient, and 300 of them again, cropped by 2 % on
each side, a third of those mirrored.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

import numpy as np

from braintumor.data.duplicates import find_near_copies, phashes
from braintumor.data.fingerprint import fingerprint
from braintumor.data.sources.phantom import Phantom

_SLICES, _SIZE_PX, _PLANTED = 5, 96, 300


def thumbnails(folder: Path, count: int) -> np.ndarray:
    """Of `count` phantoms and then of the copies: of the first, tenth, twentieth … of them."""
    file = folder / f"thumbnails_{count}.npy"
    if not file.is_file():
        source = Phantom(count // _SLICES, _SLICES, _SIZE_PX, 0, 0.0)
        pictures = map(source.read, source.items)
        drawn, copies, edge = [], [], round(0.02 * _SIZE_PX)
        for number, picture in enumerate(pictures):
            drawn.append(fingerprint(picture).thumbnail)
            if number % (count // _PLANTED) == 0 and len(copies) < _PLANTED:
                copied = picture[edge:-edge, edge:-edge]
                is_mirrored = len(copies) % 3 == 0
                copies.append(fingerprint(copied[:, ::-1] if is_mirrored else copied).thumbnail)
        np.save(file, np.stack(drawn + copies))
    return np.load(file)


def measure(folder: Path, count: int) -> str:
    """A row of the table."""
    images = thumbnails(folder, count)
    step = count // _PLANTED
    planted = {(number * step, count + number) for number in range(_PLANTED)}
    clock, used = time.perf_counter(), time.process_time()
    found = find_near_copies(images, phashes(images))
    clock, used = time.perf_counter() - clock, time.process_time() - used
    hits = len(planted & set(zip(found["a"], found["b"], strict=True)))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    others = len(found) - hits
    return f"| {len(images):,} | {used:.0f} | {clock:.0f} | {hits} | {others} | {memory:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    print("| images | processor, s | by the clock, s | found of 300 | other pairs | memory, GB |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count in asked.counts:
        print(measure(asked.out, count), flush=True)
    load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    print(f"\n{os.cpu_count()} cores; load average over 1, 5 and 15 minutes at the end: {load}.")


if __name__ == "__main__":
    main()
