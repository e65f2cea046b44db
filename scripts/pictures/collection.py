"""The demo's collection on disk: photos, edited copies of them, and drawings."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from PIL import Image

from scripts.pictures.drawings import DRAWINGS, draw
from scripts.pictures.edits import EDITS, crop_80_percent, mirrored, with_text
from scripts.pictures.photos import PHOTOS, locate

EDITED = ("astronaut", "cat", "coffee", "flower", "motorcycle", "rocket-launch", "temple", "coins")
"""Photos that get an edited copy of every kind."""

VARIANTS = 2
"""How often each drawing is made, with other weather, places and grain."""


def make_collection(folder: Path) -> dict[str, int]:
    """Write the collection to `folder` unless it is there already; how many of each kind.

    Raises FileNotFoundError naming the packages when none of the photos is installed.
    """
    stamp = folder / ".made-by"
    fingerprint = _fingerprint()
    if not stamp.is_file() or stamp.read_text() != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("photos", "edited", "drawn"):
            (folder / part).mkdir(parents=True)
        _write_photos(folder)
        _write_drawings(folder)
        stamp.write_text(fingerprint)
    return {p: len(list((folder / p).iterdir())) for p in ("photos", "edited", "drawn")}


def make_query(path: Path, photo: str) -> Path:
    """An edit of `photo` that is not in the collection: cropped, mirrored and written over."""
    source = next(locate(p) for p in PHOTOS if p.name == photo)
    if source is None:
        raise FileNotFoundError(f"the photo {photo} is not installed: pip install '.[demo]'")
    with Image.open(source) as image:
        with_text(mirrored(crop_80_percent(image.convert("RGB")))).save(path, quality=60)
    return path


def _write_photos(folder: Path) -> None:
    found = {photo.name: path for photo in PHOTOS if (path := locate(photo)) is not None}
    if not found:
        raise FileNotFoundError(
            "no photos: scikit-image, scikit-learn and matplotlib are not installed; "
            "`make setup` or pip install '.[demo]' brings them"
        )
    for name, path in found.items():
        shutil.copyfile(path, folder / "photos" / f"{name}{path.suffix}")
    for name in EDITED:
        with Image.open(found[name]) as opened:
            image = opened.convert("RGB")
        for edit, apply in EDITS.items():
            apply(image).save(folder / "edited" / f"{name}-{edit}.jpg", quality=88)


def _write_drawings(folder: Path) -> None:
    for name in DRAWINGS:
        for variant in range(VARIANTS):
            draw(name, variant).save(folder / "drawn" / f"{name}-{variant + 1}.jpg", quality=92)


def _fingerprint() -> str:
    """Hash of what the collection is made by and from."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for photo in PHOTOS:
        digest.update(f"{photo.name} {locate(photo) is not None}".encode())
    return digest.hexdigest()
