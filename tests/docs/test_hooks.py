"""docs/hooks.md names all that is public: hooks, types with their fields, decisions, helpers, laws; and no more."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re

import pytest

import dtm
import dtm.testing
from dtm.core import hookspecs
from dtm.testing.conformance import DETERMINISTIC
from dtm.testing.order import UNDONE_IN_REVERSE
from tests.docs.test_readme import ROOT

PAGE = (ROOT / "docs" / "hooks.md").read_text()
SECTIONS = dict(re.findall(r"^#{2,3} ([^\n]*)\n(.*?)(?=^#{2,3} |\Z)", PAGE, re.MULTILINE | re.DOTALL))
TYPES = [name for name in dtm.__all__ if dataclasses.is_dataclass(getattr(dtm, name))]


def names(text: str) -> set[str]:
    return set(re.findall(r"`([\w.-]+)`", text))


def rows(section: str) -> dict[str, str]:
    """The names in the first column of a section's table -> the other column."""
    found = re.findall(r"^\| (`.*?`) \| (.*) \|$", SECTIONS[section], re.MULTILINE)
    return {name: text for first, text in found for name in re.findall(r"`(\w+)", first)}


def public(kind: type) -> set[str]:
    """Fields, properties and methods."""
    fields = {field.name for field in dataclasses.fields(kind)}
    return fields | {name for name in vars(kind) if not name.startswith("_") and not isinstance(vars(kind)[name], str)}


def test_everything_in_dtm_is_on_it() -> None:
    titles = {name for title in SECTIONS for name in names(title)}
    listed = titles | set(rows("Words")) | {"Decision", "Event"}
    assert listed - {"dtm.testing"} == set(dtm.__all__)
    assert {"Decision", "Event"} <= names(PAGE)


@pytest.mark.parametrize("name", TYPES)
def test_every_field_is_on_it(name: str) -> None:
    kind = getattr(dtm, name)
    if name == "Answer":
        assert {"outcome", "text"} <= names(SECTIONS["`Answer`"])
        return
    assert set(rows(f"`{name}`")) == public(kind)


def test_every_word_is_on_it() -> None:
    kinds = {name: kind for name in dtm.__all__ if isinstance(kind := getattr(dtm, name), enum.EnumMeta)}
    said = {name: names(text) - {".final"} for name, text in rows("Words").items()}
    assert said == {name: {member.name for member in kind} for name, kind in kinds.items()}


def test_every_hook_is_on_it() -> None:
    specs = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("dtm_")}
    assert set(rows("Hooks")) == specs


def test_every_helper_is_on_it_with_its_arguments() -> None:
    functions = inspect.getmembers(dtm.ordering, inspect.isfunction)
    signatures = {f"{name}({', '.join(inspect.signature(function).parameters)})" for name, function in functions}
    assert set(re.findall(r"`(\w+\([\w, ]+\))`", SECTIONS["`ordering`"])) == signatures


def test_every_law_is_on_it() -> None:
    laws = {law.name for law in dtm.testing.LAWS} | {UNDONE_IN_REVERSE, DETERMINISTIC}
    assert names(SECTIONS["The laws"]) - {"dtm.testing"} == laws


def test_everything_in_dtm_testing_is_on_it() -> None:
    assert set(rows("`dtm.testing`")) == set(dtm.testing.__all__)
