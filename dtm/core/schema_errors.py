"""What is wrong with a document, in words for people: where, and what was expected there.

No text repeats a value of the document: it may be a secret, or very long.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jsonschema.exceptions import ValidationError

Path = tuple[str | int, ...]
Problem = tuple[Path, str]

_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_TEXTS = {
    "minimum": "expected at least {}",
    "maximum": "expected at most {}",
    "exclusiveMinimum": "expected more than {}",
    "exclusiveMaximum": "expected less than {}",
    "multipleOf": "expected a multiple of {}",
    "minLength": "expected at least {} character(s)",
    "maxLength": "expected at most {} character(s)",
    "minItems": "expected at least {} item(s)",
    "maxItems": "expected at most {} item(s)",
    "minProperties": "expected at least {} key(s)",
    "maxProperties": "expected at most {} key(s)",
    "pattern": "expected a text that matches {}",
    "uniqueItems": "expected no two equal items",
}


def pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a path; "" is the document itself."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def explain(errors: Iterable[ValidationError]) -> list[tuple[str, str]]:
    """(JSON pointer, what was expected there) of each error, sorted, none twice."""
    problems = {problem for error in errors for problem in _problems(error)}
    return [(pointer(path), text) for path, text in sorted(problems, key=_order)]


def _order(problem: Problem) -> tuple[list[tuple[int, str]], str]:
    path, text = problem
    return [(part, "") if isinstance(part, int) else (-1, part) for part in path], text


def _problems(error: ValidationError) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    instance: Any = error.instance
    wanted: Any = error.validator_value
    if error.validator == "required":
        yield from (((*path, key), "required") for key in wanted if key not in instance)
    elif error.validator == "additionalProperties" and wanted is False:
        yield from _unknown_keys(path, instance, error.schema)
    elif error.validator in ("anyOf", "oneOf") and error.context:
        yield from _choice(path, error.context)
    elif "propertyNames" in error.absolute_schema_path and isinstance(instance, str):
        yield (*path, instance), f"as a key: {_text(error)}"
    else:
        yield path, _text(error)


def _unknown_keys(path: Path, instance: Any, schema: Any) -> Iterator[Problem]:
    known = list(schema.get("properties", ()))
    patterns = schema.get("patternProperties", ())
    for key in instance:
        if key not in known and not any(re.search(pattern, key) for pattern in patterns):
            near = difflib.get_close_matches(str(key), known, n=1)
            yield (*path, str(key)), f"unknown key; did you mean {near[0]!r}?" if near else "unknown key"


def _choice(path: Path, context: Iterable[ValidationError]) -> Iterator[Problem]:
    """A choice between schemas: speak of the one that was meant, else say what may stand here."""
    alternatives: dict[Any, list[ValidationError]] = defaultdict(list)
    for error in context:
        alternatives[error.schema_path[0]].append(error)
    meant = [errors for errors in alternatives.values() if not any(_is_of_another_kind(error) for error in errors)]
    if len(meant) == 1:
        for error in meant[0]:
            yield from _problems(error)
        return
    kinds = [_kind(error) for errors in alternatives.values() for error in errors if _is_of_another_kind(error)]
    yield path, "expected " + " or ".join(kinds) if kinds else "matches none of the allowed forms"


def _is_of_another_kind(error: ValidationError) -> bool:
    return not error.path and error.validator in ("type", "const", "enum")


def _kind(error: ValidationError) -> str:
    value: Any = error.validator_value
    if error.validator == "type":
        return " or ".join(_NAMES[name] for name in ([value] if isinstance(value, str) else value))
    allowed = [value] if error.validator == "const" else value
    return " or ".join(json.dumps(each, ensure_ascii=False) for each in allowed)


def _text(error: ValidationError) -> str:
    if error.validator == "type":
        return f"expected {_kind(error)}, got {_got(error.instance)}"
    if error.validator in ("const", "enum"):
        return f"expected {_kind(error)}"
    if error.validator == "pattern" and isinstance(error.schema, Mapping) and "description" in error.schema:
        return f"expected: {error.schema['description']}"  # a sentence is kinder than a regular expression
    if error.validator in _TEXTS:
        return _TEXTS[str(error.validator)].format(error.validator_value)
    return f"does not satisfy {error.validator!r}" if error.validator else "not allowed here"


def _got(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "a number"
        case float():
            return "a number with a fraction"
        case dict():
            return "an object"
        case list():
            return "an array"
    return f"a {type(value).__name__}"
