"""Photos to events: what was taken together, in time and in place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from search.clusters.methods import Labels, Size, compact

_WINDOW = 10
_GAP_FACTOR = {Size.SMALL: 8.0, Size.MEDIUM: 17.0, Size.LARGE: 60.0}
_SURE_GAP_H = {Size.SMALL: 12.0, Size.MEDIUM: 30.0, Size.LARGE: 24.0 * 7}
_LEAST_GAP_H = {Size.SMALL: 0.25, Size.MEDIUM: 1.0, Size.LARGE: 12.0}
_FAR_KM = {Size.SMALL: 2.0, Size.MEDIUM: 20.0, Size.LARGE: 150.0}
_EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, slots=True)
class Moment:
    """When and where an image was taken, as far as it is known. Degrees, WGS 84."""

    taken_at: datetime | None
    latitude: float | None = None
    longitude: float | None = None


def by_events(moments: Sequence[Moment], size: Size) -> Labels:
    """Events, int32 [n]; -1 for images without a time.

    A new event begins where the pause is long beside the pauses around it (PhotoTOC: Platt,
    Czerwinski & Field, 2003, equation 1, on the logarithm of gaps), where it is long for certain,
    or where the place is far from the one before.
    """
    labels = np.full(len(moments), -1, dtype=np.int32)
    order = sorted(
        (row for row, moment in enumerate(moments) if moment.taken_at is not None),
        key=lambda row: (_seconds(moments[row]), row),
    )
    if not order:
        return labels
    times = np.array([_seconds(moments[row]) for row in order])
    gaps_h = np.diff(times) / 3600
    logs = np.log(np.maximum(gaps_h, 1 / 3600))
    event = 0
    labels[order[0]] = 0
    last_place = _place(moments[order[0]])
    for at, row in enumerate(order[1:]):
        around = logs[max(0, at - _WINDOW) : at + _WINDOW + 1]
        place = _place(moments[row])
        long_pause = gaps_h[at] >= _LEAST_GAP_H[size] and logs[at] >= math.log(
            _GAP_FACTOR[size]
        ) + float(around.mean())
        far = (
            place is not None
            and last_place is not None
            and distance_km(*last_place, *place) > _FAR_KM[size]
        )
        if long_pause or far or gaps_h[at] >= _SURE_GAP_H[size]:
            event += 1
            last_place = place
        labels[row] = event
        last_place = place or last_place
    return compact(labels)


def distance_km(
    latitude: float, longitude: float, other_latitude: float, other_longitude: float
) -> float:
    """Great-circle distance (haversine)."""
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    dphi = other_phi - phi
    dlambda = math.radians(other_longitude - longitude)
    h = math.sin(dphi / 2) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(dlambda / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(h)))


def _seconds(moment: Moment) -> float:
    assert moment.taken_at is not None  # the caller has chosen those that have one
    return (moment.taken_at - datetime(1970, 1, 1)).total_seconds()  # camera time has no zone


def _place(moment: Moment) -> tuple[float, float] | None:
    if moment.latitude is None or moment.longitude is None:
        return None
    return moment.latitude, moment.longitude
