"""Hosts that the operator trusts are trusted for the operator, and for nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.pictures import Pictures
from indexer.limits import callers_limits, source_limits
from likeness.errors import UnreadableSource
from likeness.settings import load_settings
from tests.fakes.pictures import write_pictures
from tests.fakes.runtime import FakeRuntime
from tests.services.web import serve_folder


def test_hosts_are_those_of_the_setting_and_of_what_was_named(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, trusted_hosts=" photos.lan, Other.LAN ,")
    named = ["https://named.lan:8443/photos/", "s3://bucket/x", "/local"]
    assert source_limits(settings, named=named).trusted_hosts == {
        "photos.lan", "other.lan", "named.lan"
    }  # fmt: skip
    assert callers_limits(settings).trusted_hosts == frozenset()


def test_a_caller_of_the_api_reaches_no_host_on_the_operators_account(tmp_path: Path) -> None:
    write_pictures(tmp_path / "www", 1)
    settings = load_settings(
        home=tmp_path / "home", decode_workers=1, fetch_urls=True, trusted_hosts="127.0.0.1"
    )
    with serve_folder(tmp_path / "www") as web, FakeRuntime(settings) as runtime:
        pictures = Pictures(runtime)
        try:
            with pytest.raises(UnreadableSource, match="this machine or its network"):
                pictures.fetch(f"{web.url}/picture000.jpg")
        finally:
            pictures.close()
        assert web.seen == []
