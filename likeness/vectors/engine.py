"""The one import of FAISS, with a sentence for those who lack it."""

from __future__ import annotations

from types import ModuleType

from likeness.errors import SettingsError


def load_faiss() -> ModuleType:
    """The `faiss` module. Raises SettingsError when no build of it is installed."""
    try:
        import faiss
    except ImportError as error:
        raise SettingsError(
            "FAISS is not installed, so vectors cannot be searched; install one of its builds: "
            "`pip install 'likeness[cpu]'` or `pip install 'likeness[gpu]'`"
        ) from error
    module: ModuleType = faiss
    return module
