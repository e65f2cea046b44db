"""The table of what the demo can draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from scripts.pictures import landscapes, things
from scripts.pictures.paint import Canvas, finish

DRAWINGS: dict[str, Callable[[np.random.Generator], Canvas]] = {
    "banana": things.banana,
    "bowl-of-strawberries": things.bowl_of_strawberries,
    "city-at-night": landscapes.city_at_night,
    "green-apple": things.green_apple,
    "green-hills": landscapes.green_hills_and_blue_sky,
    "hot-air-balloon": landscapes.hot_air_balloon,
    "lemons": things.lemons,
    "night-sky": landscapes.night_sky_with_moon_and_stars,
    "orange": things.orange,
    "poster-bakery": things.poster(
        "BAKERY",
        ("fresh bread and cakes", "open from 6 to 12", "closed on Mondays"),
        paper=(0.97, 0.93, 0.82),
        ink=(0.4, 0.2, 0.1),
    ),
    "poster-concert": things.poster(
        "CONCERT",
        ("string quartet in the park", "Friday at eight", "free entry"),
        paper=(0.12, 0.16, 0.32),
        ink=(0.95, 0.85, 0.4),
    ),
    "poster-sale": things.poster(
        "SALE",
        ("everything must go", "50 % off all shoes", "this week only"),
        paper=(0.85, 0.12, 0.1),
        ink=(1.0, 1.0, 1.0),
    ),
    "rainbow": landscapes.rainbow_over_a_field,
    "red-apple": things.red_apple,
    "sailing-boat": landscapes.sailing_boat_on_the_sea,
    "snowy-mountains": landscapes.snowy_mountains,
    "stop-sign": things.stop_sign,
    "sunset-over-the-sea": landscapes.sunset_over_the_sea,
    "tennis-ball": things.tennis_ball,
    "traffic-light": things.traffic_light,
    "wall-clock": things.wall_clock,
}


def draw(name: str, variant: int) -> Image.Image:
    """The picture `name`, uint8 RGB 640×480; equal variants give equal pixels."""
    rng = np.random.default_rng([sorted(DRAWINGS).index(name), variant])
    return finish(DRAWINGS[name](rng), rng)
