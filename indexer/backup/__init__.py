"""A copy of everything that cannot be made again, and back."""
