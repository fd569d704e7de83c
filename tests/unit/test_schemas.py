"""The published schemas, their compiler, and the two validators side by side."""

import datetime
import json
from pathlib import Path

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtm.core.errors import InvalidRequest, StartupError
from dtm.core.schemas import BASE, DRAFT, Schemas, plain

FOLDER = Path(__file__).parents[2] / "schemas"
FILES = {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
SCHEMAS = Schemas()
GOOD = {"gid": "g", "trans_type": "saga"}


def errors(schema, instance):
    """The errors that a check reports, () when there are none."""
    try:
        SCHEMAS.compile(schema).check(instance)
    except InvalidRequest as error:
        return error.errors
    return ()


def subschemas(node, path=""):
    """Every schema within a schema, with where it stands."""
    yield path, node
    for key in ("properties", "$defs", "patternProperties"):
        for name, child in node.get(key, {}).items():
            yield from subschemas(child, f"{path}/{key}/{name}")
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(node.get(key), dict):
            yield from subschemas(node[key], f"{path}/{key}")
    for index, child in enumerate(node.get("anyOf", ())):
        yield from subschemas(child, f"{path}/anyOf/{index}")


# The published files


def test_these_schemas_are_published():
    assert set(FILES) == {f"{name}.json" for name in ("common", "config", "error", "saga", "msg", "tcc", "xa")}


@pytest.mark.parametrize("name", FILES)
def test_each_file_introduces_itself(name):
    document = FILES[name]
    assert document["$schema"] == DRAFT
    assert document["$id"] == BASE + name
    assert document["title"]
    assert document["description"]
    assert document["examples"]
    jsonschema.Draft202012Validator.check_schema(document)


@pytest.mark.parametrize("name", FILES)
def test_every_property_is_described(name):
    for path, schema in subschemas(FILES[name]):
        if path.rsplit("/", 2)[-2:-1] in (["properties"], ["$defs"]):
            target = schema.get("$ref", "")
            assert schema.get("description") or target.startswith("#/"), f"{name}{path}"


@pytest.mark.parametrize("name", FILES)
def test_every_example_is_valid(name):
    for path, schema in subschemas(FILES[name]):
        for example in schema.get("examples", ()):
            assert errors(f"{name}#{path}", example) == ()


@pytest.mark.parametrize("name", ["saga", "msg", "tcc", "xa"])
def test_the_examples_of_protocols_keep_the_common_keys_too(name):
    for example in FILES[f"{name}.json"]["examples"]:
        assert errors("common.json", example) == ()


@pytest.mark.parametrize("name", ["tcc", "xa"])
def test_the_examples_of_branches_keep_the_common_keys_too(name):
    for example in FILES[f"{name}.json"]["$defs"]["branch"]["examples"]:
        assert errors("common.json#/$defs/registration", example) == ()


@pytest.mark.parametrize(
    ("schema", "keys"),
    [
        ("saga.json", {"steps", "payloads"}),
        ("msg.json", {"steps", "payloads", "query_prepared"}),
        ("tcc.json", set()),
        ("xa.json", set()),
        ("tcc.json#/$defs/branch", {"branch_id", "confirm", "cancel", "data"}),
        ("xa.json#/$defs/branch", {"branch_id", "url", "data"}),
        ({"properties": {"a": True}}, {"a"}),
        ({}, set()),
    ],
)
def test_the_keys_that_a_schema_names(schema, keys):
    assert SCHEMAS.properties_of(schema) == keys


# What they let in


@pytest.mark.parametrize("gid", ["g", "x" * 128, "Aé中😀", " ", "a;b", "a'b"])
def test_usable_gids(gid):
    assert errors("common.json", {**GOOD, "gid": gid}) == ()


@pytest.mark.parametrize("gid", ["", "x" * 129, "a\n", "\na", "a\x00b", "a\x7f", "a\x85", "\r", 1, None, [], {}, True])
def test_unusable_gids(gid):
    assert [pointer for pointer, _ in errors("common.json", {**GOOD, "gid": gid})] == ["/gid"]


@pytest.mark.parametrize("key", ["timeout_to_fail", "request_timeout", "retry_interval", "retry_limit", "retry_count"])
def test_whole_numbers(key):
    for fine in (0, 1, 2**31 - 1, 3.0):
        assert errors("common.json", {**GOOD, key: fine}) == ()
    assert errors("common.json", {**GOOD, key: -1}) == ((f"/{key}", "expected at least 0"),)
    assert errors("common.json", {**GOOD, key: 2**31}) == ((f"/{key}", "expected at most 2147483647"),)
    assert errors("common.json", {**GOOD, key: "3"}) == ((f"/{key}", "expected an integer, got a string"),)
    assert errors("common.json", {**GOOD, key: True}) == ((f"/{key}", "expected an integer, got a boolean"),)
    assert errors("common.json", {**GOOD, key: 1.5}) == (
        (f"/{key}", "expected an integer, got a number with a fraction"),
    )


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("wait_result", "true", "expected a boolean, got a string"),
        ("concurrent", 1, "expected a boolean, got a number"),
        ("custom_data", {}, "expected a string, got an object"),
        ("query_prepared", 5, "expected a string, got a number"),
        ("query_prepared", "x" * 2049, "expected at most 2048 character(s)"),
        ("protocol", "json-rpc", 'expected "http" or ""'),
        ("rollback_reason", None, "expected a string, got null"),
        ("trans_type", "", "expected at least 1 character(s)"),
        ("branch_headers", "x", "expected an object or an array, got a string"),
        ("branch_headers", ["x"], "expected at most 0 item(s)"),
        ("branch_headers", {str(number): "" for number in range(101)}, "expected at most 100 key(s)"),
    ],
)
def test_common_keys_of_a_wrong_kind(key, value, text):
    assert errors("common.json", {**GOOD, key: value}) == ((f"/{key}", text),)


def test_headers():
    assert errors("common.json", {**GOOD, "branch_headers": {"X-Tenant": "blue\tgreen é"}}) == ()
    assert errors("common.json", {**GOOD, "branch_headers": []}) == ()
    wrong = {"a b": "x", "": "x", "a\n": "x", "c": 1, "d": "x\r\ny", "e/~f": "x\x00"}
    pointers = [pointer for pointer, _ in errors("common.json", {**GOOD, "branch_headers": wrong})]
    assert "/branch_headers/c" in pointers
    assert "/branch_headers/e~1~0f" in pointers
    for name, value in wrong.items():
        assert errors("common.json", {**GOOD, "branch_headers": {name: value}})


def test_unknown_keys_are_let_through():
    assert errors("common.json", {**GOOD, "Dtm": {"any": ["thing"]}, "status": 7}) == ()
    assert errors("saga.json", {"steps": [{"action": "", "try": 5}]}) == ()
    assert errors("tcc.json#/$defs/branch", {"branch_id": "01", "branch_headers": []}) == ()


@pytest.mark.parametrize("name", ["saga.json", "msg.json"])
def test_steps_and_payloads(name):
    assert errors(name, {}) == ()
    assert errors(name, {"steps": [{}], "payloads": ["x" * 100_000]}) == ()
    assert errors(name, {"steps": [{"action": 5}, 7], "payloads": ["", {}]}) == (
        ("/payloads/1", "expected a string, got an object"),
        ("/steps/0/action", "expected a string, got a number"),
        ("/steps/1", "expected an object, got a number"),
    )
    assert errors(name, {"steps": [{}] * 10_001}) == (("/steps", "expected at most 10000 item(s)"),)
    assert errors(name, {"payloads": [""] * 10_001}) == (("/payloads", "expected at most 10000 item(s)"),)
    assert errors(name, {"steps": {}}) == (("/steps", "expected an array, got an object"),)


def test_branches():
    assert errors("xa.json#/$defs/branch", {"branch_id": "01"}) == (("/url", "required"),)
    assert errors("tcc.json#/$defs/branch", {"branch_id": "01", "data": {}, "confirm": 1}) == (
        ("/confirm", "expected a string, got a number"),
        ("/data", "expected a string, got an object"),
    )
    assert errors("common.json#/$defs/registration", {"gid": 1}) == (
        ("/branch_id", "required"),
        ("/gid", "expected a string, got a number"),
        ("/trans_type", "required"),
    )


# What errors look like


def test_the_error_is_an_invalid_request_with_its_first_fault_as_text():
    with pytest.raises(InvalidRequest, match=r"^/gid: required$") as caught:
        SCHEMAS.compile("common.json").check({})
    assert caught.value.errors == (("/gid", "required"), ("/trans_type", "required"))


def test_a_fault_of_the_whole_document_has_the_empty_pointer():
    assert errors("common.json", []) == (("", "expected an object, got an array"),)


def test_ten_faults_are_told_in_order_of_place():
    found = errors("saga.json", {"payloads": [1] * 300})
    assert [pointer for pointer, _ in found] == [f"/payloads/{index}" for index in range(10)]
    found = errors("saga.json", {"payloads": [""] * 9 + [1] * 3})
    assert [pointer for pointer, _ in found] == ["/payloads/9", "/payloads/10", "/payloads/11"]


@pytest.mark.parametrize(
    ("schema", "instance", "expected"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5, [("", "expected a string or null")]),
        ({"oneOf": [{"const": "a"}, {"type": "object", "required": ["b"]}]}, {}, [("/b", "required")]),
        ({"anyOf": [{"minimum": 5}, {"multipleOf": 3}]}, 1, [("", "matches none of the allowed forms")]),
        ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, [("", "does not satisfy 'oneOf'")]),
        ({"not": {"type": "string"}}, "s", [("", "does not satisfy 'not'")]),
        ({"allOf": [False]}, 1, [("", "not allowed here")]),
        ({"uniqueItems": True}, [1, 1], [("", "expected no two equal items")]),
        ({"exclusiveMaximum": 5}, 5, [("", "expected less than 5")]),
        ({"pattern": "^a"}, "b", [("", "expected a text that matches ^a")]),
        ({"pattern": "^a", "description": "Begins with a."}, "b", [("", "expected: Begins with a.")]),
        ({"additionalProperties": False, "patternProperties": {"^x": True}}, {"x": 1, "y": 1}, [("/y", "unknown key")]),
        ({"items": {"type": "null"}, "maxItems": 1}, [1, 1], [("", "expected at most 1 item(s)")]),
        ({"items": {"type": "null"}, "maxItems": 1}, [1], [("/0", "expected null, got a number")]),
        ({"type": "number"}, datetime.date(2026, 1, 1), [("", "expected a number, got a date")]),
    ],
)
def test_the_words(schema, instance, expected):
    assert list(errors(schema, instance)) == expected


def test_no_value_is_repeated():
    schema = {"additionalProperties": {"anyOf": [{"maxLength": 3, "pattern": "^a$", "type": "string"}, {"const": 1}]}}
    for wrong in ("secret", "a\n", ["secret"], {"secret": 1}):
        assert "secret" not in str(errors(schema, {"key": wrong}))


def test_what_is_no_json_is_refused_in_words():
    assert "int" in errors({"additionalProperties": {"type": "string"}}, {1: "a"})[0][1]
    assert "surrogates" in errors({"type": "string", "minLength": 1}, "\ud800")[0][1]
    deep = []
    for _ in range(3000):
        deep = [deep]
    assert errors({"$id": "https://x.example/r", "items": {"$ref": "#"}, "type": "array", "maxItems": 1}, deep) in (
        (),
        (("", "Recursion limit reached"),),
    )
    assert errors({"type": "string"}, deep)


# Where the two validators disagree, jsonschema-rs decides


@pytest.mark.parametrize(
    ("schema", "instance"),
    [({"pattern": "^a$"}, "a\n"), ({"type": "number"}, float("nan"))],
)
def test_a_no_of_which_jsonschema_knows_nothing_has_words_all_the_same(schema, instance):
    assert not jsonschema_rs.Draft202012Validator(schema).is_valid(instance)
    ((pointer, text),) = errors(schema, instance)
    assert pointer == ""
    assert text.startswith("the value ")


def test_one_point_nought_is_an_integer():
    assert errors({"type": "integer"}, 1.0) == ()
    assert errors({"const": 1}, 1.0) == ()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KEYS = sorted(
    {key for document in FILES.values() for _, schema in subschemas(document) for key in schema.get("properties", ())}
)
NEARLY = st.dictionaries(st.sampled_from(KEYS), JSON | st.just("http"), max_size=6)


@pytest.mark.parametrize(
    "name", [*FILES, "tcc.json#/$defs/branch", "xa.json#/$defs/branch", "common.json#/$defs/headers"]
)
@given(instance=NEARLY | JSON)
def test_both_validators_agree_on_the_published_schemas(name, instance):
    validator = SCHEMAS.compile(name)
    fast, slow = validator._fast.is_valid(instance), validator._slow.is_valid(instance)
    if fast != slow:
        # The one known difference: Python's `$` also matches before a newline at the end.
        assert slow
        assert "\\n" in json.dumps(instance)
    assert (errors(name, instance) == ()) == fast


# Compiling


def test_compiled_once():
    assert SCHEMAS.compile("saga.json") is SCHEMAS.compile("saga.json", "again")
    assert SCHEMAS.compile({"type": "string"}) is SCHEMAS.compile({"type": "string"})
    assert SCHEMAS.compile({"type": "string"}) is not SCHEMAS.compile({"type": "null"})


def test_a_strangers_schema_may_refer_to_ours_and_to_itself():
    schema = {
        "$schema": DRAFT,
        "$defs": {"n": {"$ref": "common.json#/$defs/count"}},
        "properties": {"n": {"$ref": "#/$defs/n"}, "url": {"$ref": "common.json#/$defs/url"}},
    }
    assert errors(schema, {"n": 3, "url": ""}) == ()
    assert errors(schema, {"n": -1, "url": 4}) == (
        ("/n", "expected at least 0"),
        ("/url", "expected a string, got a number"),
    )
    own = {"$id": "https://stranger.example/a", "properties": {"n": {"$ref": BASE + "common.json#/$defs/count"}}}
    assert errors(own, {"n": -1}) == (("/n", "expected at least 0"),)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "objekt"}, "/type: 'objekt' is not valid under any of the given schemas"),
        ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum: '1' is not of type 'number'"),
        ({"pattern": "("}, "/pattern: '(' is not a 'regex'"),
        ({"pattern": r"\p{Lu}"}, r"/pattern: '\\p{Lu}' is not a 'regex'"),
        ({"pattern": "(?<=a+)b"}, "is not a 'regex'"),
        ({"$ref": "#/$defs/missing"}, "Pointer '/$defs/missing' does not exist"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, f"only {DRAFT} is understood"),
        ({"default": {1, 2}}, "Object of type set is not JSON serializable"),
        ("missing.json", "Resource 'https://dtm.example/schemas/missing.json' is not present"),
        ("saga.json#/$defs/missing", "Pointer '/$defs/missing' does not exist"),
        ({"$ref": "https://127.0.0.1:1/a.json"}, "schemas are never fetched"),
    ],
)
def test_a_schema_that_does_not_compile(schema, reason):
    with pytest.raises(StartupError) as caught:
        SCHEMAS.compile(schema, "protocol 'x'")
    assert str(caught.value).startswith("protocol 'x' does not compile: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_an_owner_the_file_is_named():
    with pytest.raises(StartupError, match=r"^schema missing\.json does not compile: "):
        SCHEMAS.compile("missing.json")


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(StartupError, match=r"bad\.json: Expecting property name"):
        Schemas(tmp_path)


def test_plain_makes_dicts_and_lists():
    from types import MappingProxyType

    frozen = MappingProxyType({"a": (1, MappingProxyType({"b": "c"}))})
    assert plain(frozen) == {"a": [1, {"b": "c"}]}
    assert errors(MappingProxyType({"required": ("a",)}), {}) == (("/a", "required"),)
