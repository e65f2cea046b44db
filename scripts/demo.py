"""The main job on a small collection: index it, search it by words and by picture, look at it.

    python -m scripts.demo [--photos FOLDER] [--words TEXT] [--encoder NAME] [--into FOLDER]

Runs the `likeness` command as a user would and shows each line before it runs. Everything it
makes lies in one folder (`demo`), which can be deleted at any time.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.pictures.collection import make_collection, make_query

_EXIT_DONE_WITH_FAILURES = 1
_COMMAND = Path(sys.executable).with_name("likeness")


class DemoError(Exception):
    """A step ended with an error that was already shown; status: its exit status."""

    def __init__(self, command: str, status: int) -> None:
        self.command, self.status = command, status
        super().__init__(f"{command} ended with exit status {status}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns an exit status."""
    options = _parse(arguments)
    into: Path = options.into
    try:
        into.mkdir(parents=True, exist_ok=True)
        _run_demo(options, into)
    except (DemoError, FileNotFoundError, NotADirectoryError) as error:
        print(f"the demo stopped: {error}", file=sys.stderr)
        return error.status if isinstance(error, DemoError) else 2
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="folder of your own instead of the demo's")
    parser.add_argument("--words", help="what to search for")
    parser.add_argument("--encoder", help="encoder, for example timm:NAME@weights.safetensors")
    parser.add_argument("--into", type=Path, default=Path("demo"), help="where everything goes")
    return parser.parse_args(arguments)


def _run_demo(options: argparse.Namespace, into: Path) -> None:
    folder, collection, words = into / "collection", "default", options.words or "fruit on a table"
    if options.photos is not None:
        folder, collection = options.photos.expanduser(), "photos"
        words = options.words or "people outdoors"
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is not a folder; make demo PHOTOS=FOLDER")
    else:
        with _timed("make a small collection: photos, edited copies of them, drawings"):
            counts = make_collection(folder)
        total = sum(counts.values())
        print(
            f"    {total} images in {folder}: " + ", ".join(f"{n} {k}" for k, n in counts.items())
        )

    home = ["--home", str(into / "home")]
    which = ["--collection", collection]
    encoder = ["--encoder", options.encoder] if options.encoder else []
    with _timed("index it"):
        _likeness(*home, "index", str(folder), *which, *encoder, may_list_failures=True)

    sheets = []
    if _answers_words(home, collection):
        sheet = into / "by-words.png"
        with _timed("search it by words"):
            _likeness(*home, "search", words, "-k", "8", "--sheet", str(sheet), *which)
        sheets.append(sheet)
    else:
        print("==> no search by words: the encoder of this collection embeds images only")
    sheet = into / "by-picture.png"
    if options.photos is None:
        query = ["--image", str(make_query(into / "query.jpg", "cat"))]
        print(f"==> the query picture, {into / 'query.jpg'}: a photo of the collection, cropped,")
        print("    mirrored and written over; it is in the collection in other versions only")
    else:
        query = ["--id", str(_some_image(home, collection))]
    with _timed("search it by picture"):
        _likeness(*home, "search", *query, "-k", "9", "--sheet", str(sheet), *which)
    sheets.append(sheet)

    print("\nContact sheets of the answers, to look at:")
    for sheet in sheets:
        print(f"  {sheet.resolve()}")
    print("Ask something else:")
    print(f"  {_shown([*home, 'search', 'a boat', *which])}")


@contextmanager
def _timed(what: str) -> Iterator[None]:
    print(f"==> {what}", flush=True)
    began = time.monotonic()
    yield
    print(f"    done in {time.monotonic() - began:.1f} s", flush=True)


def _shown(arguments: Sequence[str]) -> str:
    return shlex.join([os.path.relpath(_COMMAND), *arguments])


def _likeness(*arguments: str, may_list_failures: bool = False) -> None:
    """Run `likeness`, its output going to the terminal. Raises DemoError."""
    print(f"  $ {_shown(arguments)}", flush=True)
    status = subprocess.run([_COMMAND, *arguments], check=False).returncode
    if status != 0 and not (may_list_failures and status == _EXIT_DONE_WITH_FAILURES):
        raise DemoError(_shown(arguments), status)


def _answer(*arguments: str) -> str:
    done = subprocess.run([_COMMAND, *arguments], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise DemoError(_shown(arguments), done.returncode)
    return done.stdout


def _answers_words(home: Sequence[str], collection: str) -> bool:
    status = json.loads(_answer(*home, "status", "--collection", collection, "--json"))
    return any("text" in space["answers"] for space in status["collections"][0]["spaces"])


def _some_image(home: Sequence[str], collection: str) -> int:
    """Id of an image from the middle of the first few hundred."""
    lines = _answer(
        *home, "images", "--collection", collection, "--limit", "300", "--json"
    ).splitlines()
    if not lines:
        raise FileNotFoundError("the folder has no image that could be read")
    image_id: int = json.loads(lines[len(lines) // 2])["id"]
    return image_id


if __name__ == "__main__":
    sys.exit(main())
