"""Text as filters compare it, and text as every database can store it."""

from __future__ import annotations

import re
import unicodedata

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def fold(text: str) -> str:
    """Return text without distinctions of case or of composed and decomposed accents.

    Unicode's canonical caseless form (Unicode standard, D145), composed, so that a name typed on
    one system finds a file named on another.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def clean(text: str) -> str:
    """Return text without what PostgreSQL or UTF-8 cannot hold: NUL and lone surrogates.

    File names and EXIF strings may carry either; each becomes U+FFFD.
    """
    return _UNSTORABLE.sub("\ufffd", text)
