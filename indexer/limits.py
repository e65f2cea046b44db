"""Settings → what reading an image may cost, and which hosts may be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from indexer.sources.interface import SourceLimits
from indexer.sources.web import is_url
from likeness.settings import Settings


def source_limits(settings: Settings, *, named: Sequence[str] = ()) -> SourceLimits:
    """For sources of the operator's, and for images that are in the catalog already.

    named: sources that the operator named; the hosts of those that are URLs may be private ones.
    """
    hosts = {host.strip().lower() for host in settings.trusted_hosts.split(",")}
    hosts |= {urlsplit(source).hostname or "" for source in named if is_url(source)}
    return SourceLimits(
        max_bytes=settings.max_bytes,
        url_timeout_s=settings.fetch_timeout_s,
        allow_private=settings.allow_private_urls,
        trusted_hosts=frozenset(hosts - {""}),
        retries=settings.fetch_retries,
        web_rate=settings.web_rate,
        store_rate=settings.store_rate,
        listings=settings.home / "listings",
    )


def callers_limits(settings: Settings) -> SourceLimits:
    """For URLs that callers of the API name: no host is trusted on the operator's account."""
    return replace(source_limits(settings), trusted_hosts=frozenset())
