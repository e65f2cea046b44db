"""What people type: by these words recall is measured in spaces that answer words."""

from __future__ import annotations

_SUBJECTS = (
    "a dog",
    "a cat asleep",
    "two people",
    "a child laughing",
    "a birthday cake",
    "a red car",
    "an old bicycle",
    "a mountain",
    "a city street",
    "the sea",
    "a plate of food",
    "a bird",
    "flowers",
    "a house",
    "a screenshot with text",
    "a receipt",
    "a train",
    "a football match",
    "a wedding",
    "a shirt",
)
_SETTINGS = (
    "",
    "in the snow",
    "at night",
    "on a beach",
    "close up",
    "in black and white",
    "seen from above",
)

SAMPLE_WORDS: tuple[str, ...] = tuple(
    f"{subject} {setting}".strip() for setting in _SETTINGS for subject in _SUBJECTS
)
