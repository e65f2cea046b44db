"""Threads of a serving process: told before the libraries that start them are loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys

_PROGRAM = """
import json, os, sys
{before}
from api.threads import share_cores
loaded = [name for name in ("torch", "faiss") if name in sys.modules]
share_cores()
import numpy, threadpoolctl
numpy.ones((4, 4)) @ numpy.ones((4, 4))
blas = threadpoolctl.ThreadpoolController().select(internal_api="openblas").info()
print(json.dumps([loaded, os.environ["OMP_WAIT_POLICY"], [each["num_threads"] for each in blas]]))
"""


def told(before: str = "", **environment: str) -> list[object]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "OPENBLAS_"))}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(before=before)],
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_a_service_waits_asleep_and_multiplies_on_one_thread() -> None:
    assert told() == [[], "passive", [1]]


def test_numpy_that_is_loaded_already_is_told_too() -> None:
    assert told("import numpy") == [[], "passive", [1]]


def test_what_the_user_set_stays() -> None:
    found = told(OMP_WAIT_POLICY="active", OPENBLAS_NUM_THREADS="1")
    assert found == [[], "active", [1]]


def test_serve_loads_neither_torch_nor_faiss_before_it_shares_the_cores() -> None:
    assert told("import likeness.cli.serve")[0] == []
