"""JSON Schemas: find, compile and cache them; their errors with JSON pointers (architecture, section 7).

jsonschema-rs decides: its yes and its no are final. Only when it says no does jsonschema, a hundred times slower, find
the words. Where it finds none (`$` before a newline, NaN), jsonschema-rs's own words do. 1.0 is an integer, as draft
2020-12 has it. A schema must suit both, its patterns too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
from jsonschema.exceptions import SchemaError
from jsonschema.exceptions import ValidationError as Fault
from referencing import Registry as References
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from dtm.core.errors import InvalidRequest, StartupError
from dtm.core.schema_errors import explain, pointer

DRAFT = "https://json-schema.org/draft/2020-12/schema"
BASE = "https://dtm.example/schemas/"
"""Where our schemas live by name; nothing is ever fetched from there."""

REPORTED = 10
LOOKED_AT = 200


def plain(value: Any) -> Any:
    """The same document made of dicts and lists: validators know no other mapping or sequence."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class Validator:
    """One compiled schema."""

    __slots__ = ("_fast", "_slow")

    def __init__(self, fast: jsonschema_rs.Draft202012Validator, slow: jsonschema.protocols.Validator) -> None:
        self._fast = fast
        self._slow = slow

    def check(self, instance: Any) -> None:
        """Return when a document (of dicts, lists and scalars) is valid; InvalidRequest with up to ten faults if not.

        Its errors are sorted by pointer; no text repeats a value of the document.
        """
        try:
            if self._fast.is_valid(instance):
                return
        except ValueError:
            pass  # no JSON at all, say a date or a lone surrogate: the explanation finds where
        (where, what), *more = self._faults(instance)
        raise InvalidRequest(where, what, *more)

    def _faults(self, instance: Any) -> list[tuple[str, str]]:
        try:
            problems = explain(islice(self._slow.iter_errors(instance), LOOKED_AT))
        except (RecursionError, Unresolvable):
            problems = []
        return (problems or self._own_words(instance))[:REPORTED]

    def _own_words(self, instance: Any) -> list[tuple[str, str]]:
        try:
            faults = list(islice(self._fast.iter_errors(instance), REPORTED))
        except ValueError as error:
            return [("", str(error))]
        return [(pointer(fault.instance_path), fault.message) for fault in faults]


class Schemas:
    """The schemas of one folder (None: the published ones), and whatever refers to them."""

    def __init__(self, folder: Path | None = None) -> None:
        documents = _read(folder or _published())
        self._references: References[Any] = References().with_resources(
            (uri, DRAFT202012.create_resource(document)) for uri, document in documents.items()
        )
        self._resources = jsonschema_rs.Registry(resources=list(documents.items()), retriever=_never_fetch)
        self._compiled: dict[str, Validator] = {}

    def compile(self, schema: Mapping[str, Any] | str, owner: str = "") -> Validator:
        """The validator of a schema, or of a file in the folder: "saga.json", "tcc.json#/$defs/branch".

        A schema may refer to files in the folder by name. StartupError, naming `owner`, when it does not compile.
        """
        if not owner:
            owner = f"schema {schema}" if isinstance(schema, str) else "schema"
        try:
            document = {"$ref": BASE + schema} if isinstance(schema, str) else _draft_settled(plain(schema))
            text = json.dumps(document, sort_keys=True)
            if text not in self._compiled:
                self._compiled[text] = self._compile(document)
        except SchemaError as error:
            raise _refusal(owner, f"{pointer(error.absolute_path)}: {error.message}") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise _refusal(owner, str(getattr(error, "message", error))) from error
        return self._compiled[text]

    def _compile(self, document: dict[str, Any]) -> Validator:
        jsonschema.Draft202012Validator.check_schema(document)
        fast = jsonschema_rs.Draft202012Validator(
            document, registry=self._resources, retriever=_never_fetch, mask="the value"
        )
        return Validator(fast, _Explainer(document, registry=self._references))

    def document(self, schema: Mapping[str, Any] | str) -> Mapping[str, Any]:
        """A schema that compiles, as it is written: itself, or what this name stands for."""
        if not isinstance(schema, str):
            return schema
        document: Mapping[str, Any] = self._references.resolver(BASE).lookup(schema).contents
        return document

    def properties_of(self, schema: Mapping[str, Any] | str) -> frozenset[str]:
        """The keys that the top level of a schema, which compiles, names under `properties`."""
        return frozenset(self.document(schema).get("properties", ()))


def _published() -> Path:
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "schemas", package.parent / "schemas"):  # in a wheel; in a working copy
        if (folder / "common.json").is_file():
            return folder
    raise StartupError(f"the schemas are missing: looked in {package / 'schemas'}")


def _read(folder: Path) -> dict[str, Any]:
    documents = {}
    for path in sorted(folder.glob("*.json")):
        try:
            documents[BASE + path.name] = _draft_settled(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise StartupError(f"{path}: {error}") from error
    return documents


def _draft_settled(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without `$schema`, at which jsonschema would leave our explainer for its own class."""
    if schema.get("$schema", DRAFT) != DRAFT:
        raise ValueError(f"only {DRAFT} is understood")
    return {"$id": BASE + "inline.json", **{key: value for key, value in schema.items() if key != "$schema"}}


def _refusal(owner: str, reason: str) -> StartupError:
    return StartupError(f"{owner} does not compile: {' '.join(reason.split())}")


def _never_fetch(uri: str) -> Any:
    raise LookupError("schemas are never fetched")


def _unless_too_long(keyword: str, limit: str) -> Any:
    """A keyword that looks at each item, but not at those of a document that is too long already.

    Explaining costs microseconds per item, and the sender of a million items must not stop the loop for seconds.
    """
    check = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def bounded(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Fault]:
        if isinstance(instance, list | dict) and len(instance) <= schema.get(limit, len(instance)):
            yield from check(validator, value, instance, schema) or ()

    return bounded


_extend: Any = jsonschema.validators.extend  # which is not typed
_Explainer = _extend(
    jsonschema.Draft202012Validator,
    {
        "items": _unless_too_long("items", "maxItems"),
        "additionalProperties": _unless_too_long("additionalProperties", "maxProperties"),
        "propertyNames": _unless_too_long("propertyNames", "maxProperties"),
    },
)
