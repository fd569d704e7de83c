"""One dead or hostile participant harms nobody but its own transactions, and these tell clearly what is wrong."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile import Behaviour, Hostile, closes, drips, hangs, resets, says
from tests.support.inside import Inside
from tests.support.participants import Participants

OTHERS = 50
SLOTS = 4


def saga(gid: str, url: str, undo: str = "", **more: Any) -> dict:
    steps = [{"action": url, "compensate": undo}]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["{}"], **more}


async def submitted(inside: Inside, bodies: list[dict]) -> list[tuple[int, Any]]:
    """Submit all of them at the same time; the answers."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(len(bodies)) as pool:
        calls = [loop.run_in_executor(pool, inside.client.post, "submit", body) for body in bodies]
        return await asyncio.gather(*calls)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        pytest.param(hangs, "no reply within 1 s", id="hangs"),
        pytest.param(drips, "no reply within 1 s", id="drips"),
        pytest.param(closes, "connection (closed|reset) before the (call|reply began)", id="closes"),
        pytest.param(resets, "connection reset before the reply began", id="resets"),
        pytest.param(says("HTTP/1.1 200 OK\r\n"), "connection closed before the reply was complete", id="half a head"),
        pytest.param(
            says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"half"),
            "connection closed before the reply was complete",
            id="half a body",
        ),
        pytest.param(
            says(f"HTTP/1.1 200 OK\r\nContent-Length: {10 << 20}\r\n\r\n", b"x" * (10 << 20)),
            "reply longer than 1048576 bytes",
            id="10 MiB",
        ),
        pytest.param(says("\x00\xff no HTTP at all \r\n\r\n"), "the reply is no proper HTTP", id="garbage"),
        pytest.param(
            says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"),
            "reply is no proper gzip",
            id="bad gzip",
        ),
        pytest.param(
            says("HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 50_000 + "\r\n"),
            "reply's headers longer than 65536 bytes",
            id="headers",
        ),
        pytest.param(says("HTTP/1.1 418 I\r\nContent-Length: 3\r\n\r\ntea"), "418 tea", id="nonsense status"),
    ],
)
async def test_a_hostile_participant(
    inside: Inside, participants: Participants, behaviour: Behaviour, error: str
) -> None:
    async with Hostile(behaviour) as hostile:
        bodies = [saga(f"bad-{n}", hostile.url, participants.url("undo"), request_timeout=1) for n in range(5)]
        bodies += [saga(f"good-{n}", participants.url("do"), wait_result=True) for n in range(OTHERS)]
        answers = await submitted(inside, bodies)
        assert answers == [(200, {"dtm_result": "SUCCESS"})] * len(bodies)
        assert len(participants.calls) == OTHERS
        await inside.idle()
        for body in bodies[:5]:
            shown = (await inside.get("query", gid=body["gid"]))[1]
            assert shown["transaction"]["status"] == "submitted"
            (attempt,) = shown["branches"][1]["attempts"]
            assert attempt["outcome"] == "ERROR"
            assert re.match(error, attempt["error"])
        assert hostile.calls == 5
        assert len(participants.calls) == OTHERS


async def test_redirects_are_not_followed(inside: Inside, participants: Participants) -> None:
    for status in (301, 302, 303, 307, 308):
        head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {participants.url('target')}\r\nContent-Length: 0\r\n\r\n"
        async with Hostile(says(head)) as hostile:
            await inside.submit(saga(f"g-{status}", hostile.url))
            (attempt,) = (await inside.get("query", gid=f"g-{status}"))[1]["branches"][1]["attempts"]
            assert (attempt["outcome"], attempt["error"]) == ("ERROR", str(status))
    assert participants.calls == []


async def test_a_hanging_host_takes_no_more_than_its_slots(io_loop, tmp_path: Path, participants: Participants) -> None:
    """Beyond `calls_per_host` its sagas wait their turn, then are put off one interval: no attempt is counted."""
    inside = Inside(tmp_path, calls_per_host=SLOTS, lease=1.0)
    await inside.start()
    try:
        async with Hostile(hangs) as hostile:
            bodies = [saga(f"bad-{n}", hostile.url, request_timeout=2) for n in range(3 * SLOTS)]
            bodies += [saga(f"good-{n}", participants.url("do"), wait_result=True) for n in range(OTHERS)]
            assert {status for status, _ in await submitted(inside, bodies)} == {200}
            assert len(participants.calls) == OTHERS
            await inside.idle()
            assert hostile.calls == SLOTS
        rows = [await inside.app.store.load(f"bad-{n}") for n in range(3 * SLOTS)]
        actions = [row.branches[1] for row in rows if row is not None]
        assert sorted((a.started, a.attempts, len(a.log)) for a in actions) == [
            *[(0, 0, 0)] * (2 * SLOTS),
            *[(1, 1, 1)] * SLOTS,
        ]
        for row in rows:
            assert (row.owner, row.doubt, row.status) == ("", False, "submitted")
            if not row.branches[1].started:
                interval = inside.app.settings.retry_interval
                assert row.due_at == row.branches[1].retry_at
                assert row.created_at + 1000 * interval <= row.due_at <= row.updated_at + 1000 * interval
    finally:
        await inside.stop()


async def test_a_call_whose_connection_was_dead_is_not_made_again_after_an_abort(inside: Inside) -> None:
    """A kept connection may turn out dead; the call is sent once more then, but not when it is decided to go back."""
    ops: list[str] = []
    aborted = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            ops.append(re.search(rb"[?&]op=(\w+)", head)[1].decode())
            await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
            if len(ops) == 2:
                await aborted.wait()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with Hostile(behave) as participant:
        first, second = (saga(gid, participant.url, participant.url) for gid in ("first", "second"))
        assert (await inside.post("submit", {**first, "wait_result": True}))[0] == 200
        assert (await inside.post("submit", second))[0] == 200
        while len(ops) < 2:
            await asyncio.sleep(0.01)
        assert (await inside.post("abort", {"gid": "second"}))[0] == 200
        await asyncio.sleep(0.05)
        aborted.set()
        await inside.idle()
        assert await inside.status("second") == "failed"
    assert ops == ["action", "action", "compensate"]
