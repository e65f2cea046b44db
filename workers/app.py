"""The Celery app. What each setting is against is told in docs/celery-traps.md."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Queue

from likeness.errors import SettingsError
from likeness.settings import Settings
from workers.kinds import QUEUES

_RETRIES = 3


def make_app(settings: Settings) -> Celery:
    """An app over the broker of the settings, without tasks. Connects to nothing yet.

    Raises SettingsError when no broker is set, or the time limit is not well below the visibility
    timeout: work would be handed out twice as a rule.
    """
    if not settings.broker_url:
        raise SettingsError(
            "there is no broker: set LIKENESS_BROKER_URL, for example to redis://127.0.0.1:6379/0"
        )
    if settings.queue_limit_s > settings.queue_visibility_s / 2:
        raise SettingsError(
            f"LIKENESS_QUEUE_LIMIT_S is {settings.queue_limit_s:g}, but must not pass half of "
            f"LIKENESS_QUEUE_VISIBILITY_S ({settings.queue_visibility_s:g})"
        )
    app = Celery("likeness", broker=settings.broker_url, set_as_current=False)
    app.conf.update(_configuration(settings))
    return app


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "task_queues": [Queue(name, routing_key=name) for name in QUEUES],
        "task_default_queue": QUEUES[1],
        "task_create_missing_queues": False,
        # Acknowledged when done; a process that died is a retry, and of those there are few.
        "task_acks_late": True,
        "task_retry_on_worker_lost": True,
        "task_annotations": {"*": {"max_retries": _RETRIES, "default_retry_delay": 1}},
        "worker_prefetch_multiplier": 1,
        "worker_disable_rate_limits": True,
        # Nobody reads results, so there are none.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # Plain values only.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "task_time_limit": settings.queue_limit_s,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 5.0,
        "broker_heartbeat": None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_transport_options": {
            "visibility_timeout": settings.queue_visibility_s,
            "socket_timeout": 15.0,
            "socket_connect_timeout": 5.0,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "global_keyprefix": "likeness:",
        },
        "worker_max_memory_per_child": settings.worker_memory // 1024 or None,
        "worker_proc_alive_timeout": 60.0,
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
    }
