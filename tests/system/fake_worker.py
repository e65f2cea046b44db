"""A worker whose encoder is a fake; everything else of it is real.

python -m tests.system.fake_worker SECONDS_PER_BATCH [QUEUES]   supervises, settings by environment
python -m tests.system.fake_worker SECONDS_PER_BATCH --consume  is what it supervises
"""

from __future__ import annotations

import logging
import signal
import sys

from likeness.settings import Settings, load_settings
from tests.fakes.runtime import FakeRuntime
from tests.system.poison import PoisonedEncoder
from tests.system.skew import skew_from_environment
from workers.consume import consume
from workers.orders import Orders
from workers.supervisor import Supervisor


def main(seconds_per_batch: str, *rest: str) -> int:
    skew_from_environment()

    def open_runtime(settings: Settings) -> FakeRuntime:
        return FakeRuntime(settings, PoisonedEncoder(float(seconds_per_batch)))

    if "--consume" in rest:
        consume(Orders.from_text(sys.stdin.read()), open_runtime)
        return 0
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    queues = rest[0].split(",") if rest else ["gpu", "cpu", "io"]
    module = [sys.executable, "-m", "tests.system.fake_worker"]
    supervisor = Supervisor(
        load_settings(),
        queues=queues,
        concurrency=1,
        command=[*module, seconds_per_batch, "--consume"],
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: supervisor.stop())
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
