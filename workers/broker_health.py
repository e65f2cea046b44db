"""What a Redis that carries the queue must be, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from likeness.errors import SettingsError

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """reachable: it answered; problem: why not. policy: what it does when its memory is full,
    None where it does not say (managed services). used, limit: bytes; limit 0: none set."""

    reachable: bool
    problem: str = ""
    version: str = ""
    policy: str | None = None
    used: int = 0
    limit: int = 0


def look_at_broker(url: str) -> BrokerHealth:
    """Ask Redis how it is. Raises SettingsError for a URL that is not one of Redis."""
    try:
        client: Any = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
    except ValueError as error:
        raise SettingsError(f"LIKENESS_BROKER_URL: {error}; use redis://host:6379/0") from error
    try:
        info = client.info()
        policy = _policy(client)
    except AuthenticationError as error:
        return BrokerHealth(False, f"it refuses the password: {error}")
    except (RedisError, OSError) as error:
        return BrokerHealth(False, str(error))
    finally:
        client.close()
    return BrokerHealth(
        True,
        version=str(info.get("redis_version", "?")),
        policy=policy or info.get("maxmemory_policy"),
        used=int(info.get("used_memory", 0)),
        limit=int(info.get("maxmemory", 0)),
    )


def _policy(client: Any) -> str | None:
    try:
        found = client.config_get("maxmemory-policy")
    except ResponseError:  # managed services forbid CONFIG
        return None
    value = found.get("maxmemory-policy")
    return None if value is None else str(value)
