"""Start the servers that Likeness can use, for trying things out; Ctrl-C stops and removes them.

    python -m scripts.up

So far that is PostgreSQL, on a free port of the loopback address, with a database in a temporary
directory.
"""

from __future__ import annotations

import signal
import sys
import threading

from tests.services.postgres import PostgresServer, find_binaries


def main() -> int:
    """Run until SIGINT or SIGTERM; returns an exit status."""
    binaries = find_binaries()
    if binaries is None:
        print("PostgreSQL is not installed: scripts/services.sh installs it", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with PostgresServer(binaries) as server:
        server.create_database("likeness")
        print("PostgreSQL is up, until Ctrl-C. In another terminal:\n", flush=True)
        print(f"  export LIKENESS_DATABASE_URL={server.url('likeness')}", flush=True)
        stop.wait()
    print("\nstopped, and its data removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
