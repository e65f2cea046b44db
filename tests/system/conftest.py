"""What system tests need of the machine."""

from __future__ import annotations

import os

import pytest

from tests.services.postgres import find_binaries
from tests.services.redis import find_redis


@pytest.fixture(scope="session")
def servers() -> None:
    """PostgreSQL and Redis are installed; skips where they are not, fails where they must be."""
    if find_binaries() is not None and find_redis() is not None:
        return
    reason = "PostgreSQL or Redis is not installed; scripts/services.sh installs them"
    if os.environ.get("LIKENESS_TEST_SERVICES") == "required":
        pytest.fail(reason)
    pytest.skip(reason)
