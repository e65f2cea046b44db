"""`--include` and `--exclude`: glob patterns as in .gitignore, and what counts as hidden.

A pattern without a slash matches a name at any depth (`*.jpg`, `raw`); one with a slash is anchored
at the source's root (`2019/*.png`, `raw/**`); `**` spans folders; a folder that matches stands for
everything below it. Case does not count: `*.jpg` takes `IMG_1.JPG`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from likeness.errors import InputError

_JUNK = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
_JUNK_FILES = frozenset({"thumbs.db", "desktop.ini"})

_OTHER_FILES = """
    txt md rst rtf tex log json jsonl ndjson yaml yml toml ini cfg conf xml xmp aae html htm css
    js ts py pyc ipynb c h cpp rs go java sh bat sql db sqlite sqlite3 csv tsv parquet arrow
    feather npy npz pkl pt pth safetensors onnx h5 hdf5 bin idx faiss
    pdf doc docx xls xlsx ppt pptx odt ods odp epub mobi
    mp4 mov m4v avi mkv webm wmv flv mpg mpeg 3gp mts m2ts lrv
    mp3 wav flac ogg opus m4a aac wma aiff mid
    exe dll so dylib app msi deb rpm iso img dmg vmdk ttf otf woff woff2
    lock tmp part crdownload bak torrent url lnk sha256 md5 sig asc
"""
_ARCHIVES = "zip tar tgz tbz2 txz tzst gz bz2 xz zst 7z rar cbz cbr"

OTHER_FILES = frozenset(_OTHER_FILES.split())
"""Extensions of files that nobody means when they say images: passed over without a word."""

ARCHIVES = frozenset(_ARCHIVES.split())


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a source's files are offered. include empty: all that may be images."""

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()
    hidden: bool = False

    @classmethod
    def of(
        cls, include: Sequence[str] = (), exclude: Sequence[str] = (), *, hidden: bool = False
    ) -> Selection:
        """Raises InputError for a pattern that cannot be read."""
        return cls(
            tuple(_compile(pattern) for pattern in include),
            tuple(_compile(pattern) for pattern in exclude),
            hidden,
        )

    def enters(self, folder: str) -> bool:
        """Whether anything below `folder` (path from the root, `/` between names) may be wanted."""
        if not self.hidden and is_hidden(folder.rpartition("/")[2]):
            return False
        return not any(pattern.match(folder + "/") for pattern in self.exclude)

    def takes(self, file: str) -> bool:
        """Whether `file` (path from the root) is wanted, its folders having been entered."""
        name = file.rpartition("/")[2]
        if not self.hidden and (is_hidden(name) or name.lower() in _JUNK_FILES):
            return False
        if any(pattern.match(file) for pattern in self.exclude):
            return False
        if self.include:
            return any(pattern.match(file) for pattern in self.include)
        return extension(name) not in OTHER_FILES

    def takes_member(self, name: str) -> bool:
        """`takes` for a path whose folders were never entered one by one."""
        folders = name.split("/")[:-1]
        depths = range(1, len(folders) + 1)
        return all(self.enters("/".join(folders[:depth])) for depth in depths) and self.takes(name)


def is_hidden(name: str) -> bool:
    """A leading dot, or a folder that a system made for itself."""
    return (name.startswith(".") and name not in {".", ".."}) or name.lower() in _JUNK


def extension(name: str) -> str:
    """Lower case, without the dot; empty when there is none."""
    stem, dot, last = name.rpartition(".")
    return last.lower() if dot and stem else ""


def _compile(pattern: str) -> re.Pattern[str]:
    body = pattern.strip()
    if not body.strip("/"):
        raise InputError(f"{pattern!r} is not a pattern; patterns look like '*.jpg' or 'raw/**'")
    folder_only = body.endswith("/")
    anchored = "/" in body.rstrip("/")
    translated = _translate(body.strip("/"))
    start = "" if anchored else "(?:.*/)?"
    end = "/.*" if folder_only else "(?:/.*)?"
    try:
        return re.compile(f"{start}{translated}{end}\\Z", re.IGNORECASE | re.DOTALL)
    except re.error as error:
        raise InputError(f"{pattern!r} is not a pattern: {error}") from error


def _translate(glob: str) -> str:
    """The regular expression of a glob: `*` and `?` stop at slashes, `**` does not."""
    out: list[str] = []
    i = 0
    while i < len(glob):
        if glob.startswith("**/", i):
            out.append("(?:.*/)?")
            i += 3
        elif glob.startswith("**", i):
            out.append(".*")
            i += 2
        elif glob[i] == "*":
            out.append("[^/]*")
            i += 1
        elif glob[i] == "?":
            out.append("[^/]")
            i += 1
        elif glob[i] == "[" and (end := glob.find("]", i + 2)) > 0:
            inside = glob[i + 1 : end].replace("\\", "\\\\")
            negated = inside.startswith(("!", "^"))
            out.append(f"[{'^/' if negated else ''}{inside[1:] if negated else inside}]")
            i = end + 1
        else:
            out.append(re.escape(glob[i]))
            i += 1
    return "".join(out)
