"""`dtm new-protocol`: a plugin project that works as it stands, to be changed step by step.

`project/` is that project under the name "hello"; each file's name ends in `.tmpl`, so that no tool takes it for ours.
"""

from __future__ import annotations

import re
from pathlib import Path

from dtm.core.discovery import builtin_modules
from dtm.core.errors import StartupError

PROJECT = Path(__file__).parent / "project"
SUFFIX = ".tmpl"
NAME = re.compile(r"[a-z]([a-z0-9_-]{0,43}[a-z0-9])?")
"""What is a name for a protocol, and `dtm-` and it one for a distribution."""

OURS = ("client", "coordinator")
"""dtm-client and dtm-coordinator are distributions of our own."""


def new_project(name: str, parent: Path) -> Path:
    """Write the project of a protocol with this name into a new folder of `parent`; returns the folder.

    StartupError, one clear line, for a name that cannot be one, and when there is something of that name already.
    """
    if not NAME.fullmatch(name):
        raise StartupError(
            f"{name!r} is no name for a protocol: a small letter, then small letters, digits, - or _, at most 45, "
            "the last one no - and no _"
        )
    if name in OURS or name in {module.rpartition(".")[2] for module in builtin_modules()}:
        raise StartupError(f"{name!r} is taken: dtm itself has it")
    folder = parent / name
    try:
        folder.mkdir()
        for template in sorted(PROJECT.rglob(f"*{SUFFIX}")):
            path = folder / _named(str(template.relative_to(PROJECT)).removesuffix(SUFFIX), name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(_named(template.read_text(encoding="utf-8"), name), encoding="utf-8")
    except FileExistsError:
        raise StartupError(f"{folder} exists already: nothing is overwritten") from None
    except OSError as error:
        raise StartupError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def _named(text: str, name: str) -> str:
    """The text of a template, or a path, for this name."""
    names = {"dtm_hello": "dtm_" + name.replace("-", "_"), "dtm-hello": "dtm-" + name.replace("_", "-"), "hello": name}
    return re.sub("|".join(names), lambda match: names[match[0]], text)
