"""Write the reference pages in docs/ from the code, or check that they are what the code says.

python -m scripts.reference            write docs/commands.md and docs/settings.md
python -m scripts.reference --check    exit 1 when a page is out of date or a link is dead
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from likeness.cli.main import cli
from likeness.settings import SETTINGS_FILE, Settings

ROOT = Path(__file__).resolve().parent.parent
_WRITTEN = "<!-- Written by `make docs` from the code. Edit the code, not this page. -->\n"
_COMMANDS_PREFACE = """\
Every command takes `--help`. The options of `likeness` itself stand before the command:
`likeness --home DIR search …`. Exit status: 0 done, 1 done with failures listed, 2 usage or input
error, 130 stopped by Ctrl-C.
"""
_SETTINGS_PREFACE = f"""\
Highest first: flags of `likeness`, `LIKENESS_*` environment variables, and `{SETTINGS_FILE}` in the
home (`name = value` lines). `likeness status --settings` prints each setting in force and where it
comes from.
"""
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def commands_page() -> str:
    """Every command with its help, as Markdown."""
    context = click.Context(cli, info_name="likeness", **cli.context_settings)
    parts = [
        "# Commands\n",
        _WRITTEN,
        _COMMANDS_PREFACE,
        _command_section(context, cli, "likeness"),
    ]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is None:
            raise LookupError(f"likeness lists {name} but does not have it")
        parts.extend(_sections(context, command, f"likeness {name}"))
    return "\n".join(parts)


def _sections(parent: click.Context, command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
    yield _command_section(context, command, path)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _sections(context, inner, f"{path} {name}")


def _command_section(context: click.Context, command: click.Command, path: str) -> str:
    formatter = click.HelpFormatter(width=98)
    command.format_help(context, formatter)
    return f"## {path}\n\n```text\n{formatter.getvalue().strip()}\n```\n"


def settings_page() -> str:
    """Every setting with its variable, default and meaning, as Markdown."""
    rows = [
        "# Settings\n",
        _WRITTEN,
        _SETTINGS_PREFACE,
        "| setting | variable | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "the platform's user data directory" if name == "home" else _value(field.default)
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | `LIKENESS_{name.upper()}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _value(default: object) -> str:
    if default is None or default == "":
        return "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


PAGES: dict[str, Callable[[], str]] = {
    "docs/commands.md": commands_page,
    "docs/settings.md": settings_page,
}


def stale_pages() -> list[str]:
    """Names of generated pages that are missing or differ from what the code says."""
    return [
        name
        for name, page in PAGES.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != page()
    ]


def markdown_files() -> list[Path]:
    """The project's own Markdown pages."""
    folders = ("docs", "benchmarks", "training", "likeness", ".github")
    nested = [path for folder in folders for path in (ROOT / folder).rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *nested])


def dead_links() -> list[str]:
    """`page: target` for each relative link to a file or heading that does not exist."""
    dead = []
    for page in markdown_files():
        for target in _LINK.findall(_without_code(page.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            if not path.exists() or (anchor and anchor not in _anchors(path)):
                dead.append(f"{page.relative_to(ROOT)}: {target}")
    return dead


def unlisted_pages() -> list[str]:
    """Pages of docs/ that docs/README.md does not link to, directly or through decisions/."""
    listed = set()
    for index in (ROOT / "docs/README.md", ROOT / "docs/decisions/README.md"):
        for target in _LINK.findall(index.read_text(encoding="utf-8")):
            listed.add((index.parent / target.partition("#")[0]).resolve())
    pages = {p.resolve() for p in (ROOT / "docs").rglob("*.md")}
    own = {(ROOT / "docs/README.md").resolve()}
    return sorted(str(page.relative_to(ROOT)) for page in pages - listed - own)


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def check() -> list[str]:
    """What is wrong with the documentation, one line each."""
    problems = [f"{name} is out of date: `make docs` writes it" for name in stale_pages()]
    problems += [f"dead link in {link}" for link in dead_links()]
    problems += [f"{page} is not linked from docs/README.md" for page in unlisted_pages()]
    return problems


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        problems = check()
        for problem in problems:
            print(problem)
        return 1 if problems else 0
    if arguments:
        print(__doc__)
        return 2
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
