"""dtm: a distributed transaction coordinator. This module is the public API for protocol plugins.

Everything here is loaded when it is first used (PEP 562), so that a module beside the core can be imported without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dtm.core import ordering as ordering
    from dtm.core.decisions import Ask as Ask
    from dtm.core.decisions import Call as Call
    from dtm.core.decisions import Decision as Decision
    from dtm.core.decisions import Move as Move
    from dtm.core.decisions import Wait as Wait
    from dtm.core.errors import InvalidRequest as InvalidRequest
    from dtm.core.hookspecs import BranchAnswered as BranchAnswered
    from dtm.core.hookspecs import Event as Event
    from dtm.core.hookspecs import StatusChanged as StatusChanged
    from dtm.core.hookspecs import hookimpl as hookimpl
    from dtm.core.lifecycle import SUBMIT_ONLY as SUBMIT_ONLY
    from dtm.core.lifecycle import TWO_PHASE as TWO_PHASE
    from dtm.core.model import Branch as Branch
    from dtm.core.model import BranchStatus as BranchStatus
    from dtm.core.model import Op as Op
    from dtm.core.model import Options as Options
    from dtm.core.model import Outcome as Outcome
    from dtm.core.model import Status as Status
    from dtm.core.model import Verb as Verb
    from dtm.core.protocol import Protocol as Protocol
    from dtm.core.protocol import Request as Request
    from dtm.core.snapshot import Answer as Answer
    from dtm.core.snapshot import Snapshot as Snapshot

_HOME = {
    "dtm.core": ["ordering"],
    "dtm.core.decisions": ["Ask", "Call", "Decision", "Move", "Wait"],
    "dtm.core.errors": ["InvalidRequest"],
    "dtm.core.hookspecs": ["BranchAnswered", "Event", "StatusChanged", "hookimpl"],
    "dtm.core.lifecycle": ["SUBMIT_ONLY", "TWO_PHASE"],
    "dtm.core.model": ["Branch", "BranchStatus", "Op", "Options", "Outcome", "Status", "Verb"],
    "dtm.core.protocol": ["Protocol", "Request"],
    "dtm.core.snapshot": ["Answer", "Snapshot"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - computed from the one table above


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'dtm' has no attribute {name!r}")
    if name == "ordering":
        value: Any = importlib.import_module("dtm.core.ordering")
    else:
        value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
