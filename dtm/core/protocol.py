"""Protocol: the value a plugin hands in, checked when it is made. Request: what its functions are given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dtm.core.decisions import Decision
from dtm.core.lifecycle import MOVES, SUBMIT_ONLY, Verbs
from dtm.core.model import Branch, Op, Options, Outcome, Status, Verb, nothing
from dtm.core.snapshot import Snapshot
from dtm.core.values import maker, replacer

Schema = Mapping[str, Any] | str
"""A JSON Schema (draft 2020-12), or the name of a file in `schemas/`."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,44}")
VERSION = re.compile(r"[A-Za-z0-9._+-]{1,45}")


def _no_topic(name: str) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A validated request, read-only.

    `body` holds the keys that the protocol's own schema names, nulls dropped; `custom` the parsed custom_data;
    `settings` what the operator wrote under `protocols.<name>`. For `register`, `body` is the branch as it was sent.
    """

    verb: str
    gid: str
    trans_type: str
    body: Mapping[str, Any] = field(default_factory=nothing)
    options: Options = Options()
    custom: Mapping[str, Any] = field(default_factory=nothing)
    settings: Mapping[str, Any] = field(default_factory=nothing)
    topic: Callable[[str], tuple[str, ...] | None] = field(default=_no_topic, repr=False, compare=False)
    """topic(name) -> the urls subscribed to it at this moment, or None when there is no such topic."""


new_request, changed_request = maker(Request), replacer(Request)
"""A request; and one with some fields changed."""


def _no_branches(request: Request) -> tuple[Branch, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A kind of transaction: data and pure functions.

    name: the wire's trans_type. summary: one line for `dtm protocols`. version: kept with each transaction.
    carries: older versions whose unfinished transactions `plan` carries on; `snapshot.version` tells which one it is.
    ops: operation -> its rollback rules. plan: snapshot -> decision.
    request_schema: for prepare and submit; keys that its top-level `properties` do not name are dropped.
    verbs: (verb, status or None) -> status. expand: the branches made at prepare or submit.
    register, branch_schema: the branches made by registerBranch and their validation; both or neither.
    settings_schema: the keys allowed under `protocols.<name>` in the configuration (None: none).
    default_timeout: whether the server's `timeout_to_fail` applies when a request names none.
    unfinished: what a waiting client hears when the pass parks unfinished: ONGOING (425) or FAILURE (409).

    Raises ValueError or TypeError, naming the field, when the value is not usable.
    """

    name: str
    summary: str
    version: str = "1"
    carries: Sequence[str] = ()
    ops: Mapping[str, Op]
    plan: Callable[[Snapshot], Decision]
    request_schema: Schema
    verbs: Verbs = field(default_factory=lambda: SUBMIT_ONLY)
    expand: Callable[[Request], Iterable[Branch]] = _no_branches
    register: Callable[[Request], Iterable[Branch]] | None = None
    branch_schema: Schema | None = None
    settings_schema: Mapping[str, Any] | None = None
    default_timeout: bool = True
    unfinished: Outcome = Outcome.ONGOING
    undoable: frozenset[str] = field(init=False)
    """The operations that another operation undoes."""

    def __post_init__(self) -> None:
        """Check what can be checked without running anything."""
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(
                f"protocol name {self.name!r}: a small letter, then small letters, digits, - or _; at most 45"
            )
        self._check_versions()
        self._check_types()
        self._check_ops()
        self._check_verbs()
        if (self.register is None) != (self.branch_schema is None):
            raise ValueError(f"protocol {self.name!r}: register and branch_schema go together")
        if self.unfinished not in (Outcome.ONGOING, Outcome.FAILURE):
            raise ValueError(f"protocol {self.name!r}: unfinished must be ONGOING or FAILURE")
        object.__setattr__(self, "ops", MappingProxyType(dict(self.ops)))
        object.__setattr__(self, "verbs", MappingProxyType(dict(self.verbs)))
        object.__setattr__(self, "undoable", frozenset(op.undoes for op in self.ops.values() if op.undoes))

    def _check_types(self) -> None:
        for what in ("ops", "verbs"):
            if not isinstance(getattr(self, what), Mapping):
                raise TypeError(f"protocol {self.name!r}: {what} must be a mapping")
        for what in ("plan", "expand", "register"):
            value = getattr(self, what)
            if not callable(value) and not (value is None and what == "register"):
                raise TypeError(f"protocol {self.name!r}: {what} must be a function")
        for what in ("request_schema", "branch_schema", "settings_schema"):
            value = getattr(self, what)
            allowed = (Mapping, str) if what != "settings_schema" else (Mapping,)
            if not isinstance(value, allowed) and (value is not None or what == "request_schema"):
                raise TypeError(f"protocol {self.name!r}: {what} must be a JSON Schema")

    def _check_versions(self) -> None:
        if isinstance(self.carries, str):
            raise TypeError(f"protocol {self.name!r}: carries must be a tuple of versions")
        object.__setattr__(self, "carries", tuple(self.carries))
        for version in (self.version, *self.carries):
            if not isinstance(version, str) or not VERSION.fullmatch(version):
                raise ValueError(f"protocol {self.name!r}: version {version!r}: 1 to 45 letters, digits, and . - + _")
        if len({self.version, *self.carries}) != 1 + len(self.carries):
            raise ValueError(f"protocol {self.name!r}: carries names older versions, each once")

    def runs(self, version: str) -> bool:
        """Whether transactions that this version created can be carried on."""
        return version == self.version or version in self.carries

    def _check_ops(self) -> None:
        for name, op in self.ops.items():
            if not isinstance(name, str) or not NAME.fullmatch(name) or not isinstance(op, Op):
                raise ValueError(f"protocol {self.name!r}: operation {name!r} must be a name with an Op")
            if op.undoes is not None and (op.undoes not in self.ops or op.undoes == name):
                raise ValueError(f"protocol {self.name!r}: {name!r} undoes {op.undoes!r}, no other operation of it")

    def _check_verbs(self) -> None:
        verbs = {Verb.PREPARE, Verb.SUBMIT, Verb.ABORT, Verb.REGISTER}
        for key, target in self.verbs.items():
            if not isinstance(key, tuple) or len(key) != 2:
                raise TypeError(f"protocol {self.name!r}: verbs are keyed by (verb, status or None), not by {key!r}")
            verb, source = key
            if verb not in verbs:
                raise ValueError(f"protocol {self.name!r}: unknown verb {verb!r}")
            if source is not None and (not isinstance(source, Status) or source.final):
                raise ValueError(f"protocol {self.name!r}: {verb!r} cannot start from {source!r}")
            if source is not None and isinstance(target, Status) and target not in {source, *MOVES[source]}:
                raise ValueError(f"protocol {self.name!r}: {str(verb)!r} cannot lead from {source} to {target}")
            if not isinstance(target, Status) and not callable(target):
                raise TypeError(f"protocol {self.name!r}: {verb!r} must lead to a Status or be a function giving one")
        if not any(source is None for _, source in self.verbs):
            raise ValueError(f"protocol {self.name!r}: no verb creates a transaction")
