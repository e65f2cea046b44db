"""Likeness: image search for people who own images."""

__version__ = "0.1.0"
