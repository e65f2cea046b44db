"""Signs of life of long work: given after every block by what computes, heard by what watches.

They come from the work itself, so work that hangs gives none, whatever else its process still does.
"""

from __future__ import annotations

from collections.abc import Callable

_listeners: list[Callable[[], None]] = []


def beat() -> None:
    """A block of work got done just now. Costs next to nothing where nobody listens."""
    for listener in _listeners:
        listener()


def listen(listener: Callable[[], None]) -> Callable[[], None]:
    """The function is called at every beat, on the thread that gives it, until what is returned
    is called."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)
