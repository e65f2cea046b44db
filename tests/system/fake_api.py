"""The HTTP API with the fake encoder; everything else of it is real.

python -m tests.system.fake_api   settings by environment; the first line says where it listens
"""

from __future__ import annotations

import sys

import uvicorn

from api.app import create_app
from likeness.settings import load_settings
from tests.fakes.encoder import FakeEncoder
from tests.fakes.runtime import FakeRuntime


def main() -> int:
    settings = load_settings()
    with FakeRuntime(settings, FakeEncoder(batch_size=4)) as runtime:
        config = uvicorn.Config(
            create_app(runtime), host=settings.host, port=settings.port, log_level="warning"
        )
        uvicorn.Server(config).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
