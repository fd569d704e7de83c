"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "dtm"
PLUGINS = ROOT / "plugins"
FILES = sorted(ROOT.rglob("*.py"))
PING = '{"msg": "pong"}'  # the contract's answer to a ping; no protocol is meant
QUOTED_NAME = re.compile(r"""(["'])(saga|tcc|msg|xa|workflow)\1""")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_file = pytest.mark.parametrize("path", FILES, ids=named)


def imported(path: Path) -> list[str]:
    """Everything the file imports, as dotted names; a name taken from a module is `module.name`."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; a docstring does not count."""
    total = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    docstring = function.body[0]
    return total - (docstring.end_lineno - docstring.lineno + 1)


def test_these_tests_see_the_house() -> None:
    assert {"core/model.py", "plugins/saga/__init__.py"} <= {named(path) for path in FILES}


@pytest.mark.parametrize("path", sorted((ROOT / "core").rglob("*.py")), ids=named)
def test_the_core_names_no_protocol(path: Path) -> None:
    lines = path.read_text().replace(PING, "").splitlines()
    assert [(number, line) for number, line in enumerate(lines, start=1) if QUOTED_NAME.search(line)] == []


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=named)
def test_a_plugin_imports_only_the_public_api(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT.parent).parts[:3]) + "."
    ours = [name for name in imported(path) if name.split(".")[0] == "dtm"]
    assert [name for name in ours if name != "dtm" and not name.startswith(own)] == []
    others = {name.split(".")[0] for name in imported(path)} - {"dtm"}
    assert others <= {"__future__", "collections", "typing"}


@every_file
def test_protocol_means_a_transaction_protocol(path: Path) -> None:
    assert "typing.Protocol" not in imported(path)
    attributes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    assert "typing.Protocol" not in {ast.unparse(node) for node in attributes}


@every_file
def test_a_file_is_one_room(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@every_file
def test_a_function_is_one_idea(path: Path) -> None:
    assert [(f.name, length(f)) for f in functions(path) if length(f) > 40] == []
