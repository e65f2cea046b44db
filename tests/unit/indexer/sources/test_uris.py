from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from indexer.sources.uris import (
    file_uri,
    member_prefix,
    member_uri,
    path_from_uri,
    shown,
    split_member_uri,
)

names = st.binary(min_size=1, max_size=40).filter(lambda name: b"\x00" not in name)


@given(names)
def test_every_path_survives_being_a_uri(name: bytes) -> None:
    path = "/photos/" + os.fsdecode(name)
    uri = file_uri(path)
    assert uri.isascii()
    assert path_from_uri(uri) == path
    assert shown(path).encode("utf-8")


def test_file_uris_are_those_of_pathlib() -> None:
    for name in ("a b.jpg", "100%.jpg", "ümläut.jpg", "quo'te\".jpg", "what!.jpg", "a\nb#c?.jpg"):
        assert file_uri(f"/x/{name}") == Path(f"/x/{name}").as_uri()


@given(names, names)
def test_every_member_of_every_archive_has_a_uri_that_names_both(
    archive: bytes, member: bytes
) -> None:
    path = "/a!/" + os.fsdecode(archive)
    name = member.decode("utf-8", "surrogateescape")
    uri = member_uri(member_prefix("zip", file_uri(path)), name)
    assert uri.isascii()
    assert split_member_uri(uri) == ("zip", path, name)


def test_what_is_no_members_uri_is_told_apart() -> None:
    assert split_member_uri("file:///a.jpg") is None
    assert split_member_uri("https://example.org/a.zip!/b") is None
    assert split_member_uri("zip+ftp://example.org/a.zip!/b") is None
    assert split_member_uri("zip+file:///a.zip") is None
