"""The registry: real plugins on disk, found by every road, and the line that each refusal gets."""

import importlib.metadata
import sys
import textwrap
from pathlib import Path

import pytest

from dtm.core.config import Plugins, Settings
from dtm.core.errors import InvalidRequest, StartupError
from dtm.core.hookspecs import StatusChanged
from dtm.core.model import Status
from dtm.core.registry import load
from dtm.core.schemas import Schemas

SCHEMAS = Schemas()

HEAD = """
import dtm

def protocol(name="notify", **more):
    values = dict(summary="says so", ops={"tell": dtm.Op()}, plan=lambda tx: dtm.Wait(None), request_schema={})
    return dtm.Protocol(name=name, **{**values, **more})
"""

GOOD = """
@dtm.hookimpl
def dtm_register_protocols():
    return [protocol()]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder on sys.path; modules imported from it are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def module(folder):
    """Write a plugin module and return its path."""

    def write(name, body=GOOD):
        path = folder / f"{name}.py"
        path.write_text(HEAD + textwrap.dedent(body))
        return str(path)

    return write


@pytest.fixture
def distribution(folder):
    """Write what an installer leaves behind: a distribution with entry points in our group."""

    def write(name, version, *targets):
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        points = "\n".join(f"plugin{number} = {target}" for number, target in enumerate(targets))
        (info / "entry_points.txt").write_text(f"[dtm]\n{points}\n")

    return write


def found(builtins=(), modules=(), block=(), **protocols):
    return load(Settings(plugins=Plugins(modules=modules, block=block), protocols=protocols), builtins, SCHEMAS)


def refusal(builtins=(), modules=(), block=(), **protocols):
    with pytest.raises(StartupError) as caught:
        found(builtins, modules, block, **protocols)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# How they are found


def test_nothing_is_a_registry_too():
    registry = found()
    assert (registry.known, registry.enabled, registry.observers) == ({}, {}, ())


def test_built_ins_are_on_unless_false(module):
    module("own")
    registry = found(builtins=["own"])
    notify = registry.enabled["notify"]
    assert (notify.provider, notify.provider_version) == ("built-in", importlib.metadata.version("dtm-coordinator"))
    assert notify.enabled
    registry = found(builtins=["own"], notify=False)
    assert not registry.enabled
    assert not registry.known["notify"].enabled


@pytest.mark.parametrize("as_file", [True, False])
def test_configured_modules_and_files_are_off_unless_named(module, as_file):
    path = module("mine")
    name = path if as_file else "mine"
    registry = found(modules=[name])
    assert (registry.known["notify"].provider, registry.known["notify"].provider_version) == (name, "")
    assert not registry.enabled
    assert found(modules=[name], notify={}).enabled["notify"].enabled


def test_two_files_of_the_same_name(folder):
    paths = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        path = folder / name / "plugin.py"
        path.write_text(HEAD + GOOD.replace("protocol()", f"protocol('{name}')"))
        paths.append(str(path))
    assert set(found(modules=paths).known) == {"one", "two"}


def test_a_file_may_hold_dataclasses(module):
    body = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 0\n"
    )
    path = Path(module("data"))
    path.write_text(body + path.read_text())
    assert "notify" in found(modules=[str(path)]).known


def test_entry_points(module, distribution):
    module("installed_plugin")
    distribution("Acme.Plugins", "1.2", "installed_plugin")
    registry = found(notify={})
    notify = registry.enabled["notify"]
    assert (notify.provider, notify.provider_version) == ("Acme.Plugins", "1.2")
    assert not found().enabled


def test_an_entry_point_may_name_an_object(module, distribution):
    module(
        "objects",
        """
        class Plugin:
            @dtm.hookimpl
            def dtm_register_protocols(self):
                yield protocol()

            @dtm.hookimpl
            def dtm_observe(self, event):
                seen.append(event)

        seen = []
        plugin = Plugin()
        """,
    )
    distribution("acme", "1", "objects:plugin")
    registry = found(notify={})
    assert set(registry.enabled) == {"notify"}
    registry.observers[0]("heard")
    assert sys.modules["objects"].seen == ["heard"]


@pytest.mark.parametrize("block", ["acme-plugins", "Acme_Plugins", "ACME.plugins"])
def test_a_blocked_distribution_is_never_imported(module, distribution, block):
    module("installed_plugin", "raise RuntimeError('imported')")
    distribution("Acme-Plugins", "1.2", "installed_plugin")
    assert not found(block=[block]).known
    assert "installed_plugin" not in sys.modules


# What is found


def test_what_is_registered(module):
    module(
        "own",
        """
        @dtm.hookimpl
        def dtm_register_protocols():
            yield protocol(
                request_schema="saga.json",
                register=lambda request: [],
                branch_schema="tcc.json#/$defs/branch",
                settings_schema={"properties": {"depth": {"type": "integer"}, "names": {"type": "array"}}},
            )
            yield protocol("plain", request_schema={"properties": {"a": {"type": "string"}}, "required": ["a"]})
        """,
    )
    registry = found(builtins=["own"], notify={"depth": 3, "names": ("a",)})
    notify, other = registry.enabled["notify"], registry.enabled["plain"]
    assert notify.protocol.name == "notify"
    assert notify.settings == {"depth": 3, "names": ("a",)}
    assert notify.body_keys == {"steps", "payloads"}
    assert notify.branch_keys == {"branch_id", "confirm", "cancel", "data"}
    notify.validate_request.check({"steps": []})
    with pytest.raises(InvalidRequest, match=r"^/branch_id: required$"):
        notify.validate_branch.check({})
    assert (other.validate_branch, other.branch_keys, other.settings) == (None, set(), {})
    assert other.body_keys == {"a"}
    with pytest.raises(InvalidRequest, match=r"^/a: required$"):
        other.validate_request.check({})
    for mapping in (registry.known, registry.enabled, other.settings):
        with pytest.raises(TypeError):
            mapping["x"] = 1


def test_observers_come_in_the_order_of_loading(module):
    body = """
        heard = []

        @dtm.hookimpl
        def dtm_observe(event):
            heard.append(event)
        """
    for name in ("b_first", "a_second"):
        module(name, body)
    registry = found(builtins=["b_first", "a_second"])
    assert [observer.__module__ for observer in registry.observers] == ["b_first", "a_second"]
    event = StatusChanged("g", "notify", None, Status.SUBMITTED, 0, 0)
    for observer in registry.observers:
        observer(event)
    assert sys.modules["a_second"].heard == [event]


def test_a_hook_of_a_later_version_may_be_optional(module):
    module(
        "modern",
        GOOD
        + """
@dtm.hookimpl(optionalhook=True)
def dtm_of_tomorrow():
    pass
""",
    )
    assert "notify" in found(builtins=["modern"]).known


# What is refused


def test_two_providers_of_one_name(module, distribution):
    module("own")
    module("theirs")
    distribution("acme", "1.2", "theirs")
    version = importlib.metadata.version("dtm-coordinator")
    assert refusal(builtins=["own"]) == (
        f"protocol 'notify' is provided twice: by plugin own (built-in {version}) and by plugin theirs (acme 1.2)"
    )


def test_one_plugin_that_provides_a_name_twice(module):
    path = module("twice", GOOD.replace("[protocol()]", "[protocol(), protocol()]"))
    assert refusal(modules=[path]) == (f"protocol 'notify' is provided twice: by plugin {path} and by plugin {path}")


def test_a_plugin_that_comes_by_two_roads(module, distribution):
    module("both")
    distribution("acme", "1.2", "both")
    assert refusal(modules=["both"]) == "plugin both is loaded already, as plugin both (acme 1.2)"
    path = module("named_twice")
    assert refusal(modules=[path, path], block=["acme"]) == f"plugin {path} is loaded already, as the same"


def test_a_misspelt_hook(module):
    path = module("misspelt", GOOD.replace("dtm_register_protocols", "dtm_register_protocol"))
    assert refusal(modules=[path]) == (
        f"plugin {path}: unknown hook 'dtm_register_protocol'; did you mean 'dtm_register_protocols'?"
    )
    path = module("other", GOOD.replace("dtm_register_protocols", "zzz"))
    assert refusal(modules=[path]) == f"plugin {path}: unknown hook 'zzz'"


def test_a_plugin_without_hooks(module):
    path = module("unmarked", GOOD.replace("@dtm.hookimpl", ""))
    assert refusal(modules=[path]) == f"plugin {path} has no hook: nothing in it is marked with @dtm.hookimpl"
    path = module("half_marked", GOOD + "\ndef dtm_observe(event):\n    pass\n")
    assert refusal(modules=[path]) == f"plugin {path}: dtm_observe is not marked with @dtm.hookimpl"


@pytest.mark.parametrize(
    ("hook", "line"),
    [
        ("def dtm_observe(evnt):\n    pass", "PluginValidationError: "),
        ("def dtm_observe():\n    pass", "dtm_observe must take one argument, event"),
        ("def dtm_observe(event=None):\n    pass", "dtm_observe must take one argument, event"),
        (
            "async def dtm_observe(event):\n    pass",
            "dtm_observe must be a plain function, no wrapper and no coroutine",
        ),
    ],
)
def test_a_hook_that_cannot_be_called(module, hook, line):
    path = module("odd", f"@dtm.hookimpl\n{hook}\n")
    assert refusal(modules=[path]).startswith(f"plugin {path}: {line}")


def test_a_hook_wrapper(module):
    path = module("wrapping", GOOD.replace("hookimpl", "hookimpl(wrapper=True)").replace("return [", "yield ["))
    line = "dtm_register_protocols must be a plain function, no wrapper and no coroutine"
    assert refusal(modules=[path]) == f"plugin {path}: {line}"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("[5]", "dtm_register_protocols gave a int, not a dtm.Protocol"),
        ("'notify'", "dtm_register_protocols gave a str, not a dtm.Protocol"),
        ("None", "dtm_register_protocols failed: TypeError: 'NoneType' object is not iterable"),
        ("protocol()", "dtm_register_protocols failed: TypeError: 'Protocol' object is not iterable"),
        ("1 / 0", "dtm_register_protocols failed: ZeroDivisionError: division by zero"),
        ("[protocol('Bad Name')]", "dtm_register_protocols failed: ValueError: protocol name 'Bad Name'"),
    ],
)
def test_a_hook_that_gives_no_protocols(module, given, line):
    path = module("wrong", GOOD.replace("[protocol()]", given))
    assert refusal(modules=[path]).startswith(f"plugin {path}: {line}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise RuntimeError('no\\nlicence')", "RuntimeError: no licence"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError: invalid syntax"),
    ],
)
def test_a_plugin_that_cannot_be_imported(module, distribution, body, reason):
    path = module("failing", body)
    assert refusal(modules=[path]).startswith(f"plugin {path} cannot be imported: {reason}")
    assert not [name for name in sys.modules if name.startswith("dtm_plugin") and "failing" in name]
    assert refusal(modules=["failing"]).startswith(f"plugin failing cannot be imported: {reason}")
    distribution("acme", "1.2", "failing")
    assert refusal().startswith(f"plugin failing (acme 1.2) cannot be imported: {reason}")


def test_a_plugin_that_is_not_there(folder, distribution):
    path = str(folder / "missing.py")
    assert refusal(modules=[path]).startswith(f"plugin {path} cannot be imported: FileNotFoundError: ")
    assert refusal(modules=["no.such"]) == (
        "plugin no.such cannot be imported: ModuleNotFoundError: No module named 'no'"
    )
    distribution("acme", "1.2", "json:no_such_plugin")
    assert refusal().startswith("plugin json:no_such_plugin (acme 1.2) cannot be imported: AttributeError: ")


def test_an_entry_point_that_is_nothing(module, distribution):
    module("empty", "plugin = None")
    distribution("acme", "1.2", "empty:plugin")
    assert refusal() == "plugin empty:plugin (acme 1.2) has no hook: nothing in it is marked with @dtm.hookimpl"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ('request_schema={"type": "objekt"}', "request_schema does not compile: /type: 'objekt' is not valid"),
        ('request_schema="nope.json"', "request_schema does not compile: Resource "),
        ('branch_schema="tcc.json#/$defs/x", register=list', "branch_schema does not compile: Pointer '/$defs/x'"),
        ('settings_schema={"properties": 5}', "settings_schema does not compile: /properties: 5 is not"),
    ],
)
def test_a_schema_that_does_not_compile(module, values, line):
    path = module("schema", GOOD.replace("protocol()", f"protocol({values})"))
    assert refusal(modules=[path]).startswith(f"protocol 'notify' of plugin {path}: {line}")


def test_a_protocol_that_nobody_registered(module):
    module("own")
    assert refusal(builtins=["own"], notifi={}) == (
        "protocols.notifi: no plugin provides this protocol; did you mean 'notify'?"
    )
    assert refusal(builtins=["own"], zzz={}) == "protocols.zzz: no plugin provides this protocol"
    assert refusal(builtins=["own"], notfy=False) == (
        "protocols.notfy: no plugin provides this protocol; did you mean 'notify'?"
    )


def test_settings_that_the_protocol_does_not_take(module):
    module("without")
    assert refusal(builtins=["without"], notify={"depth": 1}) == "protocols.notify: /depth: unknown key"
    schema = '{"properties": {"depth": {"type": "integer"}}, "required": ["depth"]}'
    path = module("with_settings", GOOD.replace("protocol()", f"protocol(settings_schema={schema})"))
    assert refusal(modules=[path], notify={"depth": "x", "dept": 1}) == (
        "protocols.notify: /dept: unknown key; did you mean 'depth'?; /depth: expected an integer, got a string"
    )
    assert refusal(modules=[path], notify={}) == "protocols.notify: /depth: required"
    assert not found(modules=[path], notify=False).enabled
    assert not found(modules=[path]).enabled


def test_a_settings_schema_may_let_other_keys_in(module):
    path = module("open", GOOD.replace("protocol()", 'protocol(settings_schema={"additionalProperties": True})'))
    assert found(modules=[path], notify={"any": 1}).enabled["notify"].settings == {"any": 1}


# The real ones


def test_the_built_in_protocols_load_by_the_same_path():
    names = ("saga", "tcc", "msg", "xa")
    registry = found(builtins=[f"dtm.plugins.{name}" for name in names])
    assert set(registry.enabled) == set(names)
    assert {registered.provider for registered in registry.known.values()} == {"built-in"}
