"""Copy the contact sheets of the last `make demo` to docs/images, as JPEG.

    python -m scripts.readme_pictures [FOLDER]

FOLDER is where the demo put them (`demo`). docs/images/README.md says what may be shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

_IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
SHEETS = ("by-words.png", "by-picture.png")


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments else Path("demo")
    for name in SHEETS:
        with Image.open(folder / name) as sheet:
            target = (_IMAGES / name).with_suffix(".jpg")
            sheet.convert("RGB").save(target, quality=88, subsampling=0, optimize=True)
        print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
