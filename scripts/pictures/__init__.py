"""The pictures of the demo: drawn, taken from installed packages, and edited."""
