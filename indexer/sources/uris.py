"""Paths and archive members as URIs, and back, for every name that a file system allows.

A local file is `Path.as_uri()`: bytes that are not UTF-8 survive as percent escapes. A member is
`zip+file:///photos.zip!/name`; `!` is escaped within paths, so the first `!/` divides.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

_FILE = "file://"
_DIVIDER = "!/"
ARCHIVE_SCHEMES = ("zip", "tar")
OBJECT_SCHEMES = ("s3", "gs", "memory")
"""Stores of objects that are read through fsspec; `memory` is fsspec's own, for trying out."""


def file_uri(path: str | Path) -> str:
    """`file:///…` of an absolute path."""
    return _FILE + quote_from_bytes(os.fsencode(path))


def absolute(path: str | Path) -> str:
    """`path` from the root, without `.` and `..`, its links kept as the user wrote them."""
    return os.path.abspath(path)  # noqa: PTH100 — Path has no such thing


def folder_prefix(path: str | Path) -> str:
    """The URI prefix of everything below a folder: its own URI with a slash at the end."""
    return file_uri(path).rstrip("/") + "/"


def path_from_uri(uri: str) -> str:
    """The path of a `file:///…` URI. Raises ValueError for any other."""
    if not uri.startswith(_FILE + "/"):
        raise ValueError(f"{uri} is not the URI of a local file")
    return os.fsdecode(unquote_to_bytes(uri[len(_FILE) :]))


def object_uri(scheme: str, bucket: str, key: str) -> str:
    """`s3://bucket/key` with the key's odd characters escaped; `!` too, as in paths."""
    return f"{scheme}://{bucket}/{quote_from_bytes(key.encode('utf-8', 'surrogateescape'))}"


def split_object_uri(uri: str) -> tuple[str, str, str] | None:
    """(scheme, bucket, key) of an object's URI, or None when it is none."""
    scheme, divider, rest = uri.partition("://")
    if not divider or scheme not in OBJECT_SCHEMES:
        return None
    bucket, _, key = rest.partition("/")
    return scheme, bucket, unquote_to_bytes(key).decode("utf-8", "surrogateescape")


def member_prefix(scheme: str, archive_uri: str) -> str:
    """The URI prefix of every member of an archive. scheme: `zip` or `tar`."""
    return f"{scheme}+{archive_uri.replace('!', '%21')}{_DIVIDER}"


def member_uri(prefix: str, name: str) -> str:
    """The URI of the member `name` below `member_prefix`."""
    return prefix + quote_from_bytes(name.encode("utf-8", "surrogateescape"))


def split_member_uri(uri: str) -> tuple[str, str, str] | None:
    """(scheme, archive, member name), or None when `uri` is not a member's.

    archive: the path of a local one, the URI of one elsewhere.
    """
    scheme, plus, rest = uri.partition("+")
    if not plus or scheme not in ARCHIVE_SCHEMES:
        return None
    archive, divider, member = rest.partition(_DIVIDER)
    if not divider:
        return None
    name = unquote_to_bytes(member).decode("utf-8", "surrogateescape")
    if archive.startswith(_FILE + "/"):
        return scheme, path_from_uri(archive), name
    if archive.partition("://")[0].lower() in (*OBJECT_SCHEMES, "http", "https"):
        return scheme, archive, name
    return None


def shown(path: str | Path) -> str:
    """`path` for people and for SQL: what is not UTF-8 becomes U+FFFD."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
