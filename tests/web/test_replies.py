"""Which error becomes which reply (contract, section 0)."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.web import HTTPError

from dtm.core import errors
from dtm.core.web.replies import WORDS, error_reply

TABLE = [
    (errors.InvalidRequest("/steps/0/action", "no url"), 400, {
        "message": "/steps/0/action: no url",
        "errors": [{"pointer": "/steps/0/action", "message": "no url"}],
    }),
    (errors.InvalidRequest("", "bad", ("/gid", "empty")), 400, {
        "message": "bad",
        "errors": [{"pointer": "", "message": "bad"}, {"pointer": "/gid", "message": "empty"}],
    }),
    (errors.Unauthorized("who?"), 401, {"message": "who?"}),
    (errors.Forbidden("no"), 403, {"message": "no"}),
    (errors.NotFound("no TransGlobal with gid: g found"), 404, {"message": "no TransGlobal with gid: g found"}),
    (errors.Conflict("other content"), 409, {"dtm_result": "FAILURE", "message": "other content FAILURE"}),
    (errors.Conflict("x FAILURE", "failed"), 409, {
        "dtm_result": "FAILURE", "message": "x FAILURE", "status": "failed",
    }),
    (errors.Conflict("FAILURE"), 409, {"dtm_result": "FAILURE", "message": "FAILURE"}),
    (errors.Conflict(""), 409, {"dtm_result": "FAILURE", "message": "FAILURE"}),
    (errors.NotAllowed("current status 'succeed', cannot sumbmit. FAILURE", "succeed"), 409, {
        "dtm_result": "FAILURE", "message": "current status 'succeed', cannot sumbmit. FAILURE", "status": "succeed",
    }),
    (errors.OtherContent("/steps", "exists with other steps", "submitted"), 409, {
        "dtm_result": "FAILURE", "message": "exists with other steps FAILURE", "status": "submitted",
        "errors": [{"pointer": "/steps", "message": "exists with other steps"}],
    }),
    (errors.NotYet(""), 425, {"dtm_result": "ONGOING", "message": "ONGOING"}),
    (errors.NotYet("still going"), 425, {"dtm_result": "ONGOING", "message": "ONGOING: still going"}),
    (errors.OutcomeUnknown("may be stored"), 500, {"message": "may be stored"}),
    (errors.StoreUnavailable("try again"), 503, {"message": "try again"}),
    (errors.StoreUnavailable(), 503, {"message": "Service Unavailable"}),
    (errors.CorruptRow("row 5"), 500, {"message": "row 5"}),
    (errors.BadPlan("nonsense"), 500, {"message": "nonsense"}),
    (HTTPError(404), 404, {"message": "Not Found"}),
    (HTTPError(405), 405, {"message": "Method Not Allowed"}),
    (HTTPError(400, "inner detail"), 400, {"message": "Bad Request"}),
    (HTTPError(599, "inner detail"), 599, {"message": "error"}),
    (ZeroDivisionError("secret"), 500, {"message": "internal error"}),
    (None, 500, {"message": "internal error"}),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "body"), TABLE, ids=lambda value: repr(value)[:40])
def test_each_error_has_its_reply(error, status, body):
    code, raw = error_reply(error)
    assert (code, json.loads(raw)) == (status, body)


def some_errors(text):
    return [
        errors.InvalidRequest(text, text),
        errors.NotFound(text),
        errors.Conflict(text),
        errors.NotYet(text),
        errors.OutcomeUnknown(text),
    ]


WORDY = st.lists(st.sampled_from([*WORDS, "SUCCES", "S", "UCCESS", "\\", '"', "\n", "\\u", "\x00", "é", " "])).map(
    "".join
)


@given(WORDY | st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_word_is_no_result_and_the_text_is_not_lost(text):
    for error in some_errors(text):
        body = error_reply(error)[1]
        said = json.loads(body)
        assert [word for word in WORDS if word.encode() in body] in ([], [said.get("dtm_result")])
        assert text in said["message"] or not text
        if isinstance(error, errors.Conflict):
            assert said["message"].endswith("FAILURE")


@given(st.text())
def test_a_lone_surrogate_spoils_no_reply(text):
    for error in some_errors(text):
        json.loads(error_reply(error)[1])


@pytest.mark.gen_test
async def test_errors_over_http(running, raising, caplog):
    caplog.set_level(logging.INFO)
    raising |= {
        "conflict": errors.Conflict('{"dtm_result":"SUCCESS"}', "failed"),
        "who": errors.Unauthorized("who?"),
        "surprise": ZeroDivisionError("secret"),
        "store": errors.StoreUnavailable("store is away"),
    }
    async with running() as server:
        status, headers, body = await server.ask("GET", "/raise/conflict")
        assert status == 409
        assert b"SUCCESS" not in body
        assert json.loads(body)["message"] == '{"dtm_result":"SUCCESS"} FAILURE'
        assert headers["content-type"] == "application/json; charset=utf-8"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "etag" not in headers
        assert not caplog.records

        status, headers, body = await server.ask("GET", "/raise/who")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert not caplog.records

        status, _, body = await server.ask("GET", "/raise/store")
        assert (status, json.loads(body)) == (503, {"message": "store is away"})
        assert {record.levelname for record in caplog.records} == {"WARNING"}
        caplog.clear()

        status, _, body = await server.ask("GET", "/raise/surprise")
        assert (status, json.loads(body)) == (500, {"message": "internal error"})
        assert "ZeroDivisionError: secret" in caplog.text
