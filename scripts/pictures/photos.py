"""Real photographs that come inside the wheels of scikit-image, scikit-learn and matplotlib.

They stay where pip put them and are copied into the demo's folder on the user's machine only.
`terms`: author and licence as the package states them; docs/images/README.md repeats it for those
that are shown there.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

_SKIMAGE, _SKLEARN = "skimage:data/", "sklearn:datasets/images/"
_MATPLOTLIB = "matplotlib:mpl-data/sample_data/"


@dataclass(frozen=True)
class Photo:
    """name: file stem in the demo. where: package and path in it."""

    name: str
    where: str
    terms: str


PHOTOS = (
    Photo("astronaut", _SKIMAGE + "astronaut.png", "NASA, public domain"),
    Photo("brick-wall", _SKIMAGE + "brick.png", "CC0Textures, CC0"),
    Photo("cameraman", _SKIMAGE + "camera.png", "Lav Varshney, CC0"),
    Photo("cat", _SKIMAGE + "chelsea.png", "Stefan van der Walt, CC0"),
    Photo("cell", _SKIMAGE + "cell.png", "Paul Müller and others, CC0"),
    Photo("clock-in-motion", _SKIMAGE + "clock_motion.png", "Stefan van der Walt, public domain"),
    Photo("coffee", _SKIMAGE + "coffee.png", "Rachel Michetti, CC0"),
    Photo("coins", _SKIMAGE + "coins.png", "Brooklyn Museum, no known restrictions"),
    Photo("flower", _SKLEARN + "flower.jpg", "vultilion, CC BY 2.0"),
    Photo("galaxies", _SKIMAGE + "hubble_deep_field.jpg", "NASA, public domain"),
    Photo("grass", _SKIMAGE + "grass.png", "linolafett, CC0"),
    Photo("gravel", _SKIMAGE + "gravel.png", "CC0Textures, CC0"),
    Photo("moon-surface", _SKIMAGE + "moon.png", "not stated"),
    Photo("motorcycle", _SKIMAGE + "motorcycle_left.png", "Middlebury 2014; not stated"),
    Photo("motorcycle-again", _SKIMAGE + "motorcycle_right.png", "Middlebury 2014; not stated"),
    Photo("naval-officer", _MATPLOTLIB + "grace_hopper.jpg", "US Navy; not stated"),
    Photo("printed-page", _SKIMAGE + "page.png", "not stated"),
    Photo("retina", _SKIMAGE + "retina.jpg", "Häggström, CC0"),
    Photo("rocket-launch", _SKIMAGE + "rocket.jpg", "SpaceX, public domain"),
    Photo("temple", _SKLEARN + "china.jpg", "danielbuechele, CC BY 2.0"),
    Photo("tissue", _SKIMAGE + "ihc.png", "CMMI, no known restrictions"),
    Photo("writing", _SKIMAGE + "text.png", "Wikipedia, public domain"),
)  # fmt: skip


def locate(photo: Photo) -> Path | None:
    """Where the installed package keeps the photo, without importing it; None when it is absent."""
    package, _, inside = photo.where.partition(":")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / inside
    return path if path.is_file() else None
