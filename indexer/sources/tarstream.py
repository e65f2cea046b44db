"""A tar file as a stream that only goes forward, compressed or not, with limits on what comes out.

`tarfile` reads headers through this; the limits keep a header that declares gigabytes, and a
compressed stream that swells out of all proportion, from costing memory or hours.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from typing import IO, Any, cast

_SKIP_CHUNK = 1 << 20
_MAX_HEADER_READ = 16 << 20
_MAX_RATIO = 200
_FREE_BYTES = 64 << 20

MAGIC = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}


class TarStreamError(Exception):
    """The stream is damaged or malicious."""


STREAM_ERRORS = (TarStreamError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
"""What reading a damaged stream raises."""


def compression(head: bytes) -> str | None:
    """`gz`, `bz2`, `xz` or `zst`, told from the first bytes; None for anything else."""
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)


class ForwardStream(io.RawIOBase):
    """The uncompressed bytes of a tar file. `seek` goes forward only."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        """file: at its first byte, closed with this. size: of the file."""
        self._position = 0
        self._file, self._size = file, size
        try:
            kind = compression(file.read(6))
            file.seek(0)
            self._stream = _decompressed(file, kind)
        except BaseException:
            file.close()
            raise
        self._seekable = kind is None

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset < self._position:
            raise TarStreamError("a compressed tar file cannot be read backwards")
        if self._seekable:
            self._stream.seek(offset)
            self._position = offset
        while self._position < offset:
            if not self.read_data(min(_SKIP_CHUNK, offset - self._position)):
                break
        return self._position

    def read(self, size: int = -1) -> bytes:
        """For headers, which are small."""
        if size < 0 or size > _MAX_HEADER_READ:
            raise TarStreamError(f"a header declares {size} bytes")
        return self.read_data(size)

    def read_data(self, size: int) -> bytes:
        """Up to `size` bytes; fewer at the end of the stream only."""
        parts: list[bytes] = []
        left = size
        while left and (part := self._stream.read(min(left, _SKIP_CHUNK))):
            parts.append(part)
            left -= len(part)
            self._position += len(part)
            if not self._seekable:
                self._check_ratio()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._file.close()
        super().close()

    def _check_ratio(self) -> None:
        if self._position > _FREE_BYTES + _MAX_RATIO * self._size:
            raise TarStreamError(
                f"it swells to more than {_MAX_RATIO} times its {self._size} bytes"
            )


def _decompressed(file: IO[bytes], kind: str | None) -> IO[bytes]:
    if kind == "gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb"))
    if kind == "bz2":
        return cast(IO[bytes], bz2.BZ2File(file))
    if kind == "xz":
        return cast(IO[bytes], lzma.LZMAFile(file))
    if kind == "zst":
        import pyarrow as pa  # slow to import, and few archives need it

        stream: Any = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
        return cast(IO[bytes], stream)
    return file
