"""Protocols and laws by where they are found: a built-in name, a module, a file."""

from __future__ import annotations

from dtm.core.discovery import BUILTINS, builtin_modules, configured
from dtm.core.errors import StartupError
from dtm.core.protocol import Protocol
from dtm.core.registry import protocols_of
from dtm.testing.law import Law


def find_protocols(reference: str) -> tuple[Protocol, ...]:
    """What "package.module", "./file.py" or a built-in name offers; only "...:NAME" if that stands behind it.

    StartupError, one clear line, when there is nothing to be found, or it is not whole.
    """
    place, _, name = reference.partition(":")
    built_in = f"{BUILTINS}.{place}"
    (source,) = configured([built_in if built_in in builtin_modules() else place])
    found = tuple(protocol for protocol in protocols_of(source) if name in ("", protocol.name))
    if not found:
        raise StartupError(f"{source} offers no protocol{f' {name!r}' if name else ''}")
    return found


def find_protocol(reference: str) -> Protocol:
    """The one protocol that a reference means; StartupError when it may mean several."""
    found = find_protocols(reference)
    if len(found) > 1:
        names = ", ".join(f"{reference}:{protocol.name}" for protocol in found)
        raise StartupError(f"{reference} offers several protocols: say one of {names}")
    return found[0]


def find_laws(reference: str) -> tuple[Law, ...]:
    """The laws of "package.module" or "./file.py": its `LAWS`, or what stands behind a colon; StartupError if none."""
    place, _, name = reference.partition(":")
    (source,) = configured([place])
    try:
        laws = tuple(getattr(source.load(), name or "LAWS"))
    except Exception as error:  # a stranger's module may do anything when it is imported
        raise StartupError(f"laws of {reference}: {type(error).__name__}: {error}") from error
    if not laws or not all(isinstance(law, Law) for law in laws):
        raise StartupError(f"laws of {reference}: expected dtm.testing.Law values, at least one")
    return laws
