"""The two ways to a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from likeness.client.interface import DEFAULT_COLLECTION, Client


def open_home(
    home: str | Path | None = None, *, collection: str = DEFAULT_COLLECTION, **settings: Any
) -> Client:
    """A client that works in this process, on the catalog of a home.

    home: None takes LIKENESS_HOME or the platform's folder, as the command does. settings: any of
    docs/settings.md. Close it, or use it as a context manager.
    Raises SettingsError.
    """
    from likeness.client.local import LocalClient
    from likeness.runtime import Runtime
    from likeness.settings import load_settings

    return LocalClient(Runtime(load_settings(home=home, **settings)), collection)


def connect(
    url: str,
    *,
    api_key: str | None = None,
    collection: str = DEFAULT_COLLECTION,
    timeout_s: float = 60.0,
) -> Client:
    """A client of the service at `url` (what `likeness serve` says it listens on).

    Nothing is sent yet. Close it, or use it as a context manager.
    """
    from likeness.client.remote import RemoteClient

    return RemoteClient(url, api_key=api_key, collection=collection, timeout_s=timeout_s)
