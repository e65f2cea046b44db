"""`python -m training CONFIG.toml`: distil a student, from the start or from its checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.config import load_config
from training.distill import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("config", type=Path, help="a TOML file; see training/tiny.toml")
    arguments = parser.parse_args()
    run(load_config(arguments.config), report=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
