"""How much of anything a file from outside may ask for: every cap of the toolkit, with its reason.

Each is far above what data sets of MRI slices need and far below what harms a machine. Time has no
cap of its own: the work on a file is bounded by its bytes, pixels and parts.
"""

from __future__ import annotations

MIB, GIB = 1 << 20, 1 << 30

# One picture. Film scanned at 300 dpi has 21 million pixels, a slice 0.3 million; at 25 million a
# thread needs 0.2 GB, for WebP 0.4 GB, and a second for the worst of kinds, 16 bits a pixel.
PIXELS = 25_000_000
IMAGE_SIDE = 2048  # px that a model sees: 4 times the side of a slice

# Chunks, segments and blocks of its file, which Pillow reads one by one and partly joins: a large
# PNG has some thousands. Beside the pixels: EXIF has 64 KB, a profile of colours up to 4 MB.
IMAGE_PARTS = 100_000
IMAGE_BESIDE_BYTES = 16 * MIB
PLAIN_BYTES = 4 * MIB  # of a PPM file in digits, of which a MB takes 0.6 s

# One file: that is the largest TIFF of that many pixels, 8 bytes each, with room to spare.
FILE_BYTES = 256 * MIB
TABLE_BYTES = 256 * MIB  # a CSV file: a million rows of 256 bytes

# A zip, tar or npz file. Pictures hardly pack; float64 arrays with black around the head pack up
# to 50 times, a bomb 1,000 to 7,000 times. What is small may pack in any way.
MEMBERS = 1_000_000
UNPACKED_BYTES = 64 * GIB
PACKED_TIMES = 200
SMALL_BYTES = 256 * MIB
PATH_PARTS = 32  # folders above an image: a data set has 3, a hospital's export 10
PATH_BYTES = 4096  # what Linux takes
FOLDERS = 100_000  # around the images of one data set, however deep
HEADER_BYTES = MIB  # of a member of a tar file, which is read whole: a long name and its times
SPARE_SHARE = 0.1  # of the free disk that unpacking leaves to others

# Files that runs leave, written by hand or by strangers.
YAML_BYTES = MIB // 4  # config.yaml has 3 KB; a second of parsing
YAML_DEPTH = 50
JSON_BYTES = 8 * MIB  # status.json, metrics.json: 0.2 KB a class
CARD_BYTES = 100_000_000  # the header of best.safetensors, whose library takes no more
JSON_PARTS = 2_000_000  # values, lists and keys: each takes 50 to 100 bytes of memory
CHECKPOINT_BYTES = 16 * GIB

# Settings, which also come on the card of a stranger's checkpoint: each is work, times that many.
VIEWS = 64  # of a picture, averaged: nothing is gained beyond 8
FOLDS = 1000  # trainings
CLASSES = 10_000


def unpacked_bytes(packed_bytes: int) -> int:
    """What a packed file of that size may hold, in bytes.

    >>> unpacked_bytes(1000) == SMALL_BYTES
    True
    """
    return min(max(SMALL_BYTES, PACKED_TIMES * packed_bytes), UNPACKED_BYTES)
