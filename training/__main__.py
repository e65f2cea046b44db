"""`python -m training CONFIG.toml`: distil a student, teach it words, publish it.

Started again, it goes on from its checkpoint. `--publish-only` publishes the best so far, while
the run goes on elsewhere or after it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.config import load_config
from training.distill import run
from training.release import release


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("config", type=Path, help="a TOML file; see training/tiny.toml")
    parser.add_argument("--publish-only", action="store_true", help="do not train further")
    arguments = parser.parse_args()
    config = load_config(arguments.config)

    def report(line: str) -> None:
        print(line, flush=True)

    if not arguments.publish_only:
        run(config, report=report)
    if config.publish is not None:
        release(config, report=report)


if __name__ == "__main__":
    main()
