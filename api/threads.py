"""How the threads of a service leave each other the cores, and the interpreter.

Encoder, index and event loop work side by side. Threads of OpenMP and OpenBLAS spin while they wait
for the next piece of work, and on few cores they spin where others would compute: with 64 clients
on two cores that cost a tenth of all answers (benchmarks/serve.py). And an encoder needs the
interpreter for a moment between two operations, hundreds of times in a batch; Python lets it wait
5 ms for each while the event loop is busy, with nothing to compute meanwhile.
"""

from __future__ import annotations

import os
import sys

import threadpoolctl

ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}
"""What a serving process wants in its environment before torch or FAISS is loaded."""


SWITCH_INTERVAL_S = 0.0005
"""How long a thread keeps the interpreter while another one asks for it."""


def share_cores() -> None:
    """Threads of this process that wait, sleep; NumPy multiplies on one thread; and threads give
    the interpreter to each other sooner.

    Matrices that a service gives NumPy are small. What the user set in the environment stays. To
    be called before torch or FAISS is imported, which read the environment once.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "OPENBLAS_NUM_THREADS" in os.environ or "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        return
    blas = threadpoolctl.ThreadpoolController().select(internal_api="openblas")
    for library in blas.lib_controllers:
        library.set_num_threads(1)
