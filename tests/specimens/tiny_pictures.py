"""Writes hashcheck_core/images/tiny_pictures.py: python -m tests.specimens.tiny_pictures"""

import base64
import io
import textwrap
from pathlib import Path

from PIL import Image

from hashcheck_core.images import decoder, tiny_pictures

# Format of Pillow: mode and options, so that each library a decoder loads late is loaded by one of them.
MADE = {
    "JPEG": ("L", {}),
    "PNG": ("L", {}),
    "GIF": ("L", {}),
    "WEBP": ("RGB", {}),
    "AVIF": ("L", {}),
    "HEIF": ("L", {}),
    "BMP": ("1", {}),
    "TIFF": ("1", {"compression": "tiff_lzw"}),
    "JPEG2000": ("L", {}),
}


def main() -> None:
    side = decoder.ImageLimits().min_side
    shade = Image.linear_gradient("L").resize((side, side))
    lines = [f'"""{tiny_pictures.__doc__}"""', "", "from typing import Final", "", "TINY: Final = {"]
    for kind, (mode, options) in MADE.items():
        out = io.BytesIO()
        shade.convert(mode).save(out, kind, **options)
        lines.append(f'    "{kind}": (')
        wrapped = textwrap.wrap(base64.b64encode(out.getvalue()).decode(), 96)
        lines += [f'        "{part}"' for part in wrapped]
        lines.append("    ),")
    lines.append("}")
    Path(tiny_pictures.__file__).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
