"""conf.sample.yml, schemas/config.json and the defaults of Settings say the same."""

import json
import re
from pathlib import Path

import pytest
import yaml

from dtm.core.config import Settings, load

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "conf.sample.yml"


def leaves(schema, path=()):
    """Dotted key -> its schema; the objects with named keys are gone into."""
    for key, value in schema["properties"].items():
        if "properties" in value:
            yield from leaves(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def value_at(document, dotted):
    for key in dotted.split("."):
        document = document[key]
    return document


DOCUMENT = yaml.safe_load(SAMPLE.read_text())
KEYS = dict(leaves(json.loads((ROOT / "schemas" / "config.json").read_text())))


def test_the_sample_says_exactly_the_defaults():
    assert load(str(SAMPLE), {}, {}) == Settings()


def test_nothing_said_is_the_defaults_too():
    assert load(None, {}, {}) == Settings()


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_schema_is_in_the_sample_with_the_schemas_default(key):
    value = value_at(DOCUMENT, key)
    assert value == KEYS[key]["default"]
    assert type(value) is type(KEYS[key]["default"])


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_comment_on_its_line(key):
    assert re.search(rf"^ *{key.split('.')[-1]}:.* # \w", SAMPLE.read_text(), re.MULTILINE)


def test_the_schema_and_the_settings_have_the_same_keys():
    settings = set(Settings.__dataclass_fields__) - {"compat", "plugins"}
    for group in ("compat", "plugins"):
        settings |= {f"{group}.{key}" for key in getattr(Settings(), group).__dataclass_fields__}
    single = {"callbacks.allow": "callbacks_allow", "retention.finished_days": "retention_finished_days"}
    assert {single.get(key, key) for key in KEYS} == settings


def test_every_setting_is_described():
    assert all(schema["description"] for schema in KEYS.values())
