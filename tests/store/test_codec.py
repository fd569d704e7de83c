"""The two documents of a row: exact, small, and loud when damaged."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_values import make_tx

from dtm.core.errors import CorruptRow, InvalidRequest
from dtm.core.model import (
    Attempt,
    Branch,
    BranchStatus,
    Op,
    Options,
    Outcome,
    Status,
    Transaction,
    changed_branch,
    record,
)
from dtm.core.store.codec import STATUS_CODE, decode, encode_request, encode_state, unreadable

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INT = st.integers(-(2**62), 2**62)
COUNT = st.integers(0, 1000)
TIME = st.none() | st.integers(0, 2**42)
JSON = st.recursive(
    st.none() | st.booleans() | INT | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ATTEMPTS = st.builds(Attempt, INT, COUNT, st.sampled_from(Outcome), TEXT)
OPTIONS = st.builds(
    Options,
    wait_result=st.booleans(),
    timeout_to_fail=COUNT,
    request_timeout=COUNT,
    retry_interval=COUNT,
    branch_headers=st.dictionaries(TEXT, TEXT, max_size=3),
    concurrent=st.booleans(),
    retry_limit=COUNT,
    retry_count=COUNT,
)


def branches(texts):
    """Branches whose urls and payloads are often among `texts`."""
    shared = st.sampled_from(texts) if texts else st.nothing()
    return (
        st.builds(
            Branch,
            branch_id=TEXT,
            op=TEXT,
            url=TEXT | shared,
            payload=st.binary(max_size=20) | TEXT.map(str.encode) | shared.map(str.encode),
            status=st.sampled_from(BranchStatus),
            started=COUNT,
            attempts=COUNT,
            started_at=TIME,
            ended_at=TIME,
            error=TEXT,
            retry_at=TIME,
            log=st.lists(ATTEMPTS, max_size=3).map(tuple),
            answered=COUNT,
        )
        | st.builds(Branch, branch_id=TEXT, op=TEXT, url=TEXT)
        | st.builds(one_call, INT, COUNT, st.sampled_from(BESIDES))
    )


BESIDES = (
    {}, {"status": BranchStatus.FAILED}, {"started": 2}, {"attempts": 1}, {"started_at": 0}, {"ended_at": None},
    {"error": "no"}, {"retry_at": 9}, {"log": ()}, {"answered": 2}, {"log": (Attempt(1, 2, Outcome.SUCCESS, "odd"),)},
    {"log": (Attempt(1, 2, Outcome.ONGOING),)}, {"log": (Attempt(1, 2, Outcome.SUCCESS),) * 2},
)  # fmt: skip
"""What makes a branch another one than a single call that succeeded."""


def one_call(time=1, duration=2, besides=BESIDES[0]):
    """A branch that succeeded with its first call, or nearly so."""
    branch = changed_branch(Branch("01", "action", "http://bank/a"), started=1, started_at=time)
    return replace(record(branch, Attempt(time, duration, Outcome.SUCCESS), Op()), **besides)


def texts_of(value):
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in texts_of(item)]


@st.composite
def transactions(draw):
    body = draw(st.dictionaries(TEXT, JSON, max_size=5))
    some = st.lists(branches(texts_of(body)), max_size=4).map(tuple)
    return draw(
        st.builds(
            Transaction,
            gid=TEXT,
            trans_type=TEXT,
            protocol_version=TEXT,
            status=st.sampled_from(Status),
            created_at=INT,
            body=st.just(body),
            options=OPTIONS | st.just(Options()),
            custom_data=TEXT,
            branches=some,
            questions=some,
            reason=TEXT,
            result=TEXT,
            next_at=TIME,
            trouble=TEXT,
            id=INT,
            version=INT,
            owner=TEXT,
            doubt=st.booleans(),
            due_at=TIME,
            updated_at=INT,
            finished_at=TIME,
        )
    )


def row_of(tx, request=None, state=None):
    return (
        tx.id, tx.gid, tx.trans_type, tx.protocol_version, STATUS_CODE[tx.status], tx.version, tx.owner, int(tx.doubt),
        tx.due_at, tx.created_at, tx.updated_at, tx.finished_at,
        encode_request(tx) if request is None else request, encode_state(tx) if state is None else state,
    )  # fmt: skip


@given(transactions())
def test_a_transaction_comes_back_as_it_was(tx):
    assert decode(row_of(tx)) == tx
    assert decode(row_of(tx, encode_request(tx).decode(), encode_state(tx).decode())) == tx


def test_urls_and_payloads_of_the_body_are_stored_once():
    tx = make_tx("g1")
    document = orjson.loads(encode_request(tx))
    assert document["branches"] == [["01", "action", 0, 2], ["01", "compensate", 1, {"b64": "/wA="}]]


def test_an_op_is_named_once():
    ops = ("action", "compensate", "action", "", "compensate", "")
    tx = make_tx("g1", branches=tuple(Branch(f"{number}", op, "u") for number, op in enumerate(ops)))
    stored = [branch[1] for branch in orjson.loads(encode_request(tx))["branches"]]
    assert stored == ["action", "compensate", 0, "", 1, 2]
    assert decode(row_of(tx)) == tx


def test_short_strings_and_repeated_ones():
    body = {"a": ["12345678", "short", "12345678", "abcdefgh"], "b": {"c": "zyxwvuts"}}
    places = ["12345678", "abcdefgh", "zyxwvuts", "short", "elsewhere"]
    tx = make_tx("g1", body=body, branches=tuple(Branch("01", "op", url, url.encode()) for url in places))
    document = orjson.loads(encode_request(tx))
    assert [branch[2] for branch in document["branches"]] == [0, 1, 2, "short", "elsewhere"]
    assert [branch[3] for branch in document["branches"]] == [0, 1, 2, "short", "elsewhere"]
    assert decode(row_of(tx)) == tx


def test_what_is_not_there_is_not_written():
    tx = make_tx("g1", options=Options(), custom_data="", branches=(), body={})
    assert (encode_request(tx), encode_state(tx)) == (b'{"body":{}}', b"{}")


def test_the_state_is_readable():
    tx = make_tx("g1")
    ended = Attempt(5, 2, Outcome.SUCCESS)
    done = replace(tx.branches[0], status=BranchStatus.SUCCEED, started=1, started_at=5, ended_at=7, log=(ended,))
    first = {"status": "succeed", "started": 1, "from": 5, "to": 7, "log": [[5, 2, "SUCCESS"]]}
    changed = replace(tx, branches=(done, tx.branches[1]), reason="why")
    assert orjson.loads(encode_state(changed)) == {"branches": [first, 0], "reason": "why"}
    asked = orjson.loads(encode_request(tx))
    assert asked["options"] == {"wait_result": True, "branch_headers": {"x-test": "1"}}
    assert asked["custom_data"] == tx.custom_data


def test_the_state_begins_as_it_did_when_only_branches_have_changed():
    """What is the same up to there, and no longer, is overwritten in place."""
    tx = make_tx("g1", next_at=1_750_000_010_000)
    assert encode_state(tx) == b'{"next_at":10000,"branches":[0,0]}'
    assert encode_state(replace(tx, branches=(tx.branches[0], one_call(tx.created_at, 5)), result="r")) == (
        b'{"next_at":10000,"branches":[0,[0,5]],"result":"r"}'
    )


@pytest.mark.parametrize("besides", BESIDES)
def test_a_branch_that_took_one_call_is_two_numbers_and_no_other_is(besides):
    tx = make_tx("g1", branches=(one_call(besides=besides),), questions=(one_call(besides=besides),))
    document = orjson.loads(encode_state(tx))
    short = [1 - tx.created_at, 2]
    assert (document["branches"] == [short]) is (besides == {})
    assert (document["questions"][0][4] == short) is (besides == {})
    assert decode(row_of(tx)) == tx


def test_read_only_and_deep_bodies():
    frozen = MappingProxyType({"steps": (MappingProxyType({"action": "http://bank/a"}),)})
    tx = make_tx("g1", body=frozen, branches=(Branch("01", "action", "http://bank/a"),))
    assert orjson.loads(encode_request(tx))["branches"] == [["01", "action", 0, ""]]
    assert decode(row_of(tx)).body == {"steps": [{"action": "http://bank/a"}]}
    deep = "bottom of it"
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(InvalidRequest):
        encode_request(replace(tx, body={"deep": deep}))


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1: 2}, object(), {"x": {1, 2}}])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        encode_request(make_tx("g1", body={"value": value}))


def test_a_text_that_is_no_unicode_is_refused_in_the_state_too():
    with pytest.raises(InvalidRequest):
        encode_state(make_tx("g1", reason="\udfff"))


@pytest.mark.parametrize(
    ("request_", "state"),
    [
        (b"", b"{}"),
        (b"{", b"{}"),
        (b"[]", b"{}"),
        (b"{}", b"{}"),
        (b"null", b"{}"),
        (b'{"body":{},"options":{"unheard_of":1}}', b"{}"),
        (b'{"body":{},"branches":[["01","a",3,""]]}', b'{"branches":[0]}'),
        (b'{"body":{},"branches":[["01",0,"u",""]]}', b'{"branches":[0]}'),
        (b'{"body":{},"branches":[["01","a"]]}', b'{"branches":[0]}'),
        (b'{"body":{},"branches":[["01","a","u",{"b64":"*"}]]}', b'{"branches":[0]}'),
        (b'{"body":{},"branches":[["01","a","u",null]]}', b'{"branches":[0]}'),
        (b'{"body":{},"branches":[["01","a","u",""]]}', b'{"branches":[{},{}]}'),
        (b'{"body":{},"branches":[["01","a","u",""]]}', b'{"branches":[{"status":"lost"}]}'),
        (b'{"body":{},"branches":[["01","a","u",""]]}', b'{"branches":[[]]}'),
        (b'{"body":{},"branches":[["01","a","u",""]]}', b'{"branches":[7]}'),
        (b'{"body":{}}', b'{"next_at":"7"}'),
        (b'{"body":{},"branches":[["01","a","u",""]]}', b'{"branches":[[5,true]]}'),
        (b'{"body":{},"branches":[["01","a","u",""]]}', b'{"branches":[["5",1]]}'),
        (b'{"body":{},"branches":[["01","a","u",""]]}', b'{"branches":[[5,1,2]]}'),
        (b'{"body":{}}', b"\xff\xfe"),
        (b'{"body":{}}', b"7"),
        (b'{"body":{}}', b'{"questions":[[]]}'),
    ],
)
def test_a_damaged_document_names_its_transaction(request_, state):
    tx = make_tx("g-17", id=17)
    with pytest.raises(CorruptRow, match=r"'g-17' \(id 17\)"):
        decode(row_of(tx, request_, state))


def test_an_unreadable_row_can_be_shown():
    tx = make_tx("g1", Status.ABORTING, id=17, doubt=True)
    row = row_of(tx, b"garbage", b"{}")
    with pytest.raises(CorruptRow) as caught:
        decode(row)
    shown = unreadable(row, caught.value)
    assert (shown.gid, shown.id, shown.status, shown.doubt) == ("g1", 17, Status.ABORTING, True)
    assert "cannot be read" in shown.trouble
    assert shown.branches == ()
