"""Copies of images within a collection: found, typed, proven, grouped, and cleared away safely."""
