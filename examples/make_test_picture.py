"""Make examples/test-picture.png, whose hashes are the reserved test hashes, and print them.

The committed file is the definition: another encoder may compress the same pixels into other bytes, so run
this only to see where the picture came from.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.hashing import hash_bytes, hash_picture


def main(path: Path) -> None:
    coarse = np.random.default_rng(7357).integers(0, 256, (13, 13, 3), dtype=np.uint8)
    Image.fromarray(coarse, "RGB").resize((512, 512), Image.Resampling.BICUBIC).save(path, optimize=True)
    data = path.read_bytes()
    for item in [*hash_bytes(data), *hash_picture(decode(data, ImageLimits()).grey)]:
        print(item.hash.type.name, item.hash.hex(), "" if item.quality is None else item.quality)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("test-picture.png")))
