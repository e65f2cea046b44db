"""Distances on the globe."""

from __future__ import annotations

import math

EARTH_RADIUS_M = 6_371_008.8
"""IUGG mean radius."""


def distance_m(
    latitude1: float | None,
    longitude1: float | None,
    latitude2: float | None,
    longitude2: float | None,
) -> float | None:
    """Return the great-circle distance in metres between two places in degrees (haversine)."""
    if latitude1 is None or longitude1 is None or latitude2 is None or longitude2 is None:
        return None
    phi1, phi2 = math.radians(latitude1), math.radians(latitude2)
    dphi, dlambda = phi2 - phi1, math.radians(longitude2) - math.radians(longitude1)
    h = math.sin(dphi / 2) ** 2 + math.cos(phi1) * math.cos(phi2) * math.sin(dlambda / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, h)))


def without_dust(degrees: float) -> float:
    """Return degrees, or 0 where they are so few (below 1e-12, 0.1 µm) that only squares differ.

    PostgreSQL refuses to square a number when the result is too small for it.
    """
    return 0.0 if abs(degrees) < 1e-12 else degrees


def box(
    latitude: float, longitude: float, radius_m: float
) -> tuple[float, float, list[tuple[float, float]]]:
    """Return (south, north, spans of longitude) in degrees that hold every place within radius_m.

    A span that crosses the antimeridian comes as two; a circle that holds a pole has all of them.
    """
    margin = 1e-9  # of a degree, 0.1 mm: the box must not cut what rounding puts on its edge
    angle = radius_m / EARTH_RADIUS_M
    south = latitude - math.degrees(angle) - margin
    north = latitude + math.degrees(angle) + margin
    if angle >= math.pi / 2 or south <= -90 or north >= 90:
        return max(south, -90.0), min(north, 90.0), [(-180.0, 180.0)]
    # the meridian that touches the circle: sin(dlon) = sin(angle) / cos(latitude)
    sine = math.sin(angle) / math.cos(math.radians(latitude))
    if sine >= 1:
        return south, north, [(-180.0, 180.0)]
    half = math.degrees(math.asin(sine)) + margin
    west, east = longitude - half, longitude + half
    if west < -180:
        return south, north, [(west + 360, 180.0), (-180.0, east)]
    if east > 180:
        return south, north, [(west, 180.0), (-180.0, east - 360)]
    return south, north, [(west, east)]
