"""Settings: what overrides what, and the line that each fault gets."""

import dataclasses

import pytest

from dtm.core.config import Compat, Plugins, Settings, Token, load
from dtm.core.errors import StartupError


@pytest.fixture
def conf(tmp_path):
    """Write a configuration file and return its path."""

    def write(text):
        path = tmp_path / "conf.yml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def refusal(path=None, environ=None, overrides=None):
    with pytest.raises(StartupError) as caught:
        load(path, environ or {}, overrides or {})
    return str(caught.value)


def test_each_layer_overrides_the_one_below(conf):
    path = conf("retry_interval: 1\nrequest_timeout: 1\nport: 1")
    environ = {"DTM_REQUEST_TIMEOUT": "2", "DTM_PORT": "2", "PATH": "/bin", "DTM_STORE": "memory://"}
    settings = load(path, environ, {"port": 3, "host": None})
    assert (settings.timeout_to_fail, settings.retry_interval) == (35.0, 1.0)
    assert (settings.request_timeout, settings.port) == (2.0, 3)
    assert (settings.store, settings.host) == ("memory://", "127.0.0.1")


def test_every_key_can_stand_in_the_file(conf, tmp_path):
    path = conf(
        """
        store: mysql://u:p@db/dtm
        host: 0.0.0.0
        port: 0
        lease: 0.2
        retention: {finished_days: 30}
        callbacks: {allow: ["10.0.0.0/8", "*.example:80"]}
        auth:
          tokens:
            - {token: abc, role: operator}
            - {token: "12345"}
        compat: {branch_type: false, reply_words: true, get_writes: false}
        plugins: {modules: [a.b, ./mine.py, /x/y.py], block: [Some_Dist]}
        protocols: {one: {limit: {depth: 3, names: [a]}}, two: false, three: }
        log_level: debug
        """
    )
    settings = load(path, {}, {})
    assert settings.retention_finished_days == 30.0
    assert settings.callbacks_allow == ("10.0.0.0/8", "*.example:80")
    assert settings.auth == (Token(token="abc", role="operator"), Token(token="12345", role="client"))
    assert settings.compat == Compat(branch_type=False, reply_words=True, get_writes=False)
    assert settings.plugins == Plugins(modules=("a.b", str(tmp_path / "mine.py"), "/x/y.py"), block=("Some_Dist",))
    assert settings.protocols["one"]["limit"]["names"] == ("a",)
    assert settings.protocols["two"] is False
    assert settings.protocols["three"] == {}
    with pytest.raises(TypeError):
        settings.protocols["one"]["limit"]["depth"] = 4


def test_every_key_can_stand_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    environ = {
        "DTM_CALLBACKS__ALLOW": '["10.0.0.0/8"]',
        "DTM_AUTH": '{"tokens": [{"token": "abc"}]}',
        "DTM_COMPAT__BRANCH_TYPE": "false",
        "DTM_PLUGINS__MODULES": '["./mine.py"]',
        "DTM_PROTOCOLS": '{"one": {"a": 1}}',
        "DTM_PROTOCOLS__ONE__B": "text",
        "DTM_PROTOCOLS__TWO": "false",
        "DTM_LOG_LEVEL": "warning",
        "DTM_WRITE_BEHIND": "0",
        "DTM_RETENTION__FINISHED_DAYS": "0.5",
    }
    settings = load(None, environ, {})
    assert settings.retention_finished_days == 0.5
    assert settings.callbacks_allow == ("10.0.0.0/8",)
    assert settings.auth == (Token(token="abc"),)
    assert settings.compat == Compat(branch_type=False)
    assert settings.plugins.modules == (str(tmp_path / "mine.py"),)
    assert settings.protocols == {"one": {"a": 1, "b": "text"}, "two": False}
    assert (settings.log_level, settings.write_behind) == ("warning", 0.0)


def test_objects_merge_and_all_else_replaces(conf):
    path = conf("auth: {tokens: [{token: abc}]}\ncompat: {branch_type: false}\nplugins: {block: [a, b]}")
    environ = {"DTM_AUTH": "none", "DTM_COMPAT__REPLY_WORDS": "true", "DTM_PLUGINS__BLOCK": '["c"]'}
    settings = load(path, environ, {})
    assert settings.auth == "none"
    assert settings.compat == Compat(branch_type=False, reply_words=True)
    assert settings.plugins.block == ("c",)


def test_numbers_arrive_as_the_type_that_is_declared(conf):
    settings = load(conf("lease: 3\nport: 80.0\nretry_interval: 0.2\ncalls_per_host: 2"), {}, {})
    for field in dataclasses.fields(Settings):
        if field.type in ("int", "float"):
            assert type(getattr(settings, field.name)).__name__ == field.type


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "retention:\ncallbacks:\nauth:\ncompat:\nplugins:\nprotocols:\n"]
)
def test_empty_files_and_sections_say_nothing(conf, text):
    assert load(conf(text), {}, {}) == Settings()


def test_an_empty_variable_is_not_set():
    assert load(None, {"DTM_PORT": "", "DTM_NO_SUCH": ""}, {}) == Settings()


def test_what_kubernetes_and_the_client_read_is_no_setting():
    environ = {
        "DTM_SERVICE_HOST": "10.0.0.1",
        "DTM_SERVICE_PORT": "36789",
        "DTM_SERVICE_PORT_HTTP": "36789",
        "DTM_PORT": "tcp://10.0.0.1:36789",
        "DTM_PORT_36789_TCP_ADDR": "10.0.0.1",
        "DTM_TOKEN": "abc",
        "DTM_DEMO_DB": "mysql://root@127.0.0.1/",
    }
    assert load(None, environ, {}) == Settings()


def test_an_unknown_key_in_the_file(conf):
    path = conf("retry_intervall: 5")
    assert refusal(path) == f"{path}: retry_intervall: unknown key; did you mean 'retry_interval'?"


def test_an_unknown_key_inside(conf):
    path = conf("compat: {branch_typ: true}")
    assert refusal(path) == f"{path}: compat.branch_typ: unknown key; did you mean 'branch_type'?"


def test_an_unknown_variable():
    assert refusal(environ={"DTM_RETRY_INTERVALL": "5"}) == (
        "DTM_RETRY_INTERVALL: retry_intervall: unknown key; did you mean 'retry_interval'?"
    )
    assert refusal(environ={"DTM_ZZZ__A": "5"}) == "DTM_ZZZ__A: zzz: unknown key"
    assert refusal(environ={"DTM_": "5"}) == "DTM_: : unknown key"


def test_an_unknown_option():
    assert refusal(overrides={"prt": 5}) == "command line: prt: unknown key; did you mean 'port'?"


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"DTM_RETRY_INTERVAL": "soon"}, "DTM_RETRY_INTERVAL: retry_interval: expected a number, got a string"),
        ({"DTM_RETRY_INTERVAL": "0"}, "DTM_RETRY_INTERVAL: retry_interval: expected more than 0"),
        ({"DTM_LEASE": "-1"}, "DTM_LEASE: lease: expected more than 0"),
        ({"DTM_POLL_INTERVAL": "0"}, "DTM_POLL_INTERVAL: poll_interval: expected more than 0"),
        ({"DTM_WRITE_BEHIND": "-0.1"}, "DTM_WRITE_BEHIND: write_behind: expected at least 0"),
        ({"DTM_LEASE": "NaN"}, "DTM_LEASE: lease: expected a number, got a string"),
        ({"DTM_PORT": "65536"}, "DTM_PORT: port: expected at most 65535"),
        ({"DTM_PORT": "1.5"}, "DTM_PORT: port: expected an integer, got a number with a fraction"),
        ({"DTM_CALLS_PER_HOST": "0"}, "DTM_CALLS_PER_HOST: calls_per_host: expected at least 1"),
        (
            {"DTM_CALLBACKS__ALLOW": "a"},
            "DTM_CALLBACKS__ALLOW: callbacks.allow: expected an array or null, got a string",
        ),
        ({"DTM_AUTH": "open"}, 'DTM_AUTH: auth: expected "none" or an object or null'),
        ({"DTM_AUTH__TOKENS": "[]"}, "DTM_AUTH__TOKENS: auth.tokens: expected at least 1 item(s)"),
        ({"DTM_AUTH": "{}"}, "DTM_AUTH: auth.tokens: required"),
        ({"DTM_AUTH__TOKENS": '[{"role": "client"}]'}, "DTM_AUTH__TOKENS: auth.tokens.0.token: required"),
        ({"DTM_PROTOCOLS__X": "true"}, "DTM_PROTOCOLS__X: protocols.x: expected an object or false or null"),
        (
            {"DTM_LOG_LEVEL": "loud"},
            'DTM_LOG_LEVEL: log_level: expected "debug" or "info" or "warning" or "error"',
        ),
        (
            {"DTM_COMPAT__GET_WRITES": "yes"},
            "DTM_COMPAT__GET_WRITES: compat.get_writes: expected a boolean, got a string",
        ),
        ({"DTM_RETRY_INTERVAL": "61"}, "retry_interval_max: must not be below retry_interval"),
    ],
)
def test_a_wrong_value(environ, line):
    assert refusal(environ=environ) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("retry_interval: .nan", "retry_interval: the value"),
        ("retry_interval: .inf", "retry_interval: expected at most 31536000"),
        ("retry_interval: 2026-01-01", "retry_interval: expected a number, got a string"),
        ("retry_interval: [1]", "retry_interval: expected a number, got an array"),
        ("protocols: {1: {}}", "Dict key must be str"),
        ("- a\n- b", "expected keys and values"),
        ("port: 1\nhost: a: b", "line 2: mapping values are not allowed here"),
        ("port: 1\n\tlease: 3", "line 2: found character ... that cannot start any token"),
        ("port: 1\nlease: 2\nport: 3", "line 3: a key is said twice"),
        ("compat:\n  get_writes: true\n  get_writes: false", "line 3: a key is said twice"),
        ("? [a]\n: b", "line 1: found unhashable key"),
        ("a: \x07", "not YAML"),
    ],
)
def test_what_a_file_can_do_wrong(conf, text, line):
    path = conf(text)
    assert refusal(path).startswith(f"{path}: {line}")
    assert "\n" not in refusal(path)


def test_a_file_that_cannot_be_read(tmp_path):
    missing = str(tmp_path / "missing.yml")
    assert refusal(missing) == f"{missing}: No such file or directory"
    assert refusal(str(tmp_path)) == f"{tmp_path}: Is a directory"
    (tmp_path / "latin.yml").write_bytes(b"host: \xe9")
    assert refusal(str(tmp_path / "latin.yml")) == f"{tmp_path}/latin.yml: not UTF-8"


def test_all_faults_are_told_at_once(conf):
    path = conf("prt: 1\nlease: 0")
    lines = refusal(path, {"DTM_PORT": "x", "DTM_HOSTS": "y"}, {"port": -1}).split("\n")
    assert [line.split(": ")[0] for line in lines] == [path, path, "DTM_HOSTS", "DTM_PORT", "command line"]
    broken = conf("a: b: c")
    assert len(refusal(broken, {"DTM_PORT": "x"}).split("\n")) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_loopback_needs_nothing_said(host):
    assert load(None, {}, {"host": host}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "dtm.example", "localhost.example"])
def test_any_other_address_needs_auth_and_callbacks(host):
    auth = f"host: listening on {host} needs auth: tokens, or none if everybody may use the API"
    allow = f"host: listening on {host} needs callbacks.allow: the participants that may be called"
    assert refusal(overrides={"host": host}) == f"{auth}\n{allow}"
    assert refusal(environ={"DTM_AUTH": "none"}, overrides={"host": host}) == allow
    assert refusal(environ={"DTM_CALLBACKS__ALLOW": "[]"}, overrides={"host": host}) == auth
    both = {"DTM_AUTH": "none", "DTM_CALLBACKS__ALLOW": '["*"]'}
    assert load(None, both, {"host": host}).host == host


def test_a_token_given_twice():
    environ = {"DTM_AUTH__TOKENS": '[{"token": "s3cret"}, {"token": "s3cret", "role": "operator"}]'}
    assert refusal(environ=environ) == "auth.tokens: the same token is given twice"


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"auth: {SECRET}",
        f"auth: {{tokens: {SECRET}}}",
        f"auth: {{tokens: [{SECRET}]}}",
        f"auth: {{tokens: [{{token: 'a {SECRET}'}}]}}",
        f"auth: {{tokens: [{{token: {SECRET}, role: {SECRET}}}]}}",
        f"auth: {{tokens: [{{token: {SECRET}}}, {{token: {SECRET}}}]}}",
        f"auth: {{tokens: [{{token: *{SECRET}}}]}}",
        f"auth: {{tokens: [{{token: !{SECRET} }}]}}",
        f"auth: {{tokens: [{{token: %{SECRET}}}]}}",
        f"auth: {{tokens: [{{token: '{SECRET}}}]}}",
        f"store: [mysql://u:{SECRET}@db/x]",
        f"alert_webhook: ftp://{SECRET}",
        f"port: {SECRET}",
    ],
)
def test_no_secret_is_in_an_error(conf, text):
    assert SECRET not in refusal(conf(text))


def test_no_secret_is_in_the_repr(conf):
    path = conf(
        f"""
        store: mysql://u:{SECRET}@db/x
        alert_webhook: http://h/{SECRET}
        auth: {{tokens: [{{token: {SECRET}}}]}}
        protocols: {{x: {{key: {SECRET}}}}}
        """
    )
    assert SECRET not in repr(load(path, {}, {}))
