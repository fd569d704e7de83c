"""`dtm db` and `dtm check --store` as people use them, on a file and on a server; who sees the password."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from dtm.cli import main
from dtm.core.store.mysql_sql import NEVER
from dtm.options import without
from tests.support.command import COMMAND, Ran, environment
from tests.support.coordinator import Coordinator
from tests.support.mariadb import PASSWORD, QUOTED_PASSWORD, MariaDB, database_of
from tests.support.ports import free_port

DAY = 86_400_000
COLUMNS = "id, gid, trans_type, protocol_version, status, version, owner, doubt, due_at, created_at, updated_at"


@pytest.fixture
def url(mariadb: MariaDB, tmp_path: Path) -> str:
    """A database that does not exist yet."""
    return mariadb.url(database_of(tmp_path))


@pytest.fixture
def filled(dtm: Callable[..., Ran], url: str, mariadb: MariaDB, tmp_path: Path) -> str:
    """A database with 2,000 transactions that ended ten days ago, and as many unfinished ones of long ago."""
    assert dtm("db", "upgrade", DTM_STORE=url).status == 0
    long_ago = "(UNIX_TIMESTAMP() - 10 * 86400 - seq) * 1000"
    for first, status, finished_at in ((1, 4, long_ago), (2001, 2, NEVER)):
        mariadb.run(
            f"""INSERT INTO dtm_transaction ({COLUMNS}, finished_at, request, state)
            SELECT seq, seq, 'saga', '1', {status}, 1, '', 0, {NEVER}, {long_ago}, 1, {finished_at}, '{{}}', '{{}}'
            FROM seq_{first}_to_{first + 1999}""",
            database=database_of(tmp_path),
        )
    return url


def facts(ran: Ran) -> dict[str, str]:
    """The table of a store."""
    return dict(re.findall(r"^(\w+) {2,}(.+)$", ran.out, re.MULTILINE))


def refusal(ran: Ran) -> str:
    """The one line on stderr; exit status 2."""
    assert ran.status == 2, ran
    (line,) = ran.err.splitlines()
    assert line.startswith("dtm: store ")
    return line


# dtm db status, dtm db upgrade


def test_a_server_from_empty_to_known(dtm: Callable[..., Ran], url: str) -> None:
    before = dtm("db", "status", DTM_STORE=url)
    assert (before.status, facts(before)["schema"]) == (1, "none yet; this version of dtm knows revision 1")
    assert "does not exist yet" in facts(before)["database"]
    assert dtm("db", "upgrade", DTM_STORE=url).out.endswith(": its schema had revision 0, and has 1 now\n")
    after = dtm("db", "status", DTM_STORE=url)
    assert (after.status, facts(after)["schema"]) == (0, "revision 1; this version of dtm knows revision 1")
    assert "MariaDB" in facts(after)["server"]
    assert "nothing to do" in dtm("db", "upgrade", DTM_STORE=url).out


def test_an_old_schema_is_refused_until_it_is_upgraded(
    dtm: Callable[..., Ran], filled: str, mariadb: MariaDB, tmp_path: Path
) -> None:
    mariadb.run("UPDATE dtm_schema SET revision = -1", database=database_of(tmp_path))
    assert refusal(dtm("serve", "--port", "0", DTM_STORE=filled)).endswith("needs 1: upgrade it by dtm db upgrade")
    assert refusal(dtm("check", "--store", DTM_STORE=filled)).endswith("upgrade it by dtm db upgrade")
    assert refusal(dtm("db", "purge", "--older-than", "0s", DTM_STORE=filled)).endswith("dtm db upgrade")
    assert dtm("db", "status", DTM_STORE=filled).status == 1
    assert dtm("db", "upgrade", DTM_STORE=filled).status == 0
    assert dtm("check", "--store", DTM_STORE=filled).status == 0


@pytest.mark.parametrize(
    "command", [("db", "status"), ("db", "upgrade"), ("db", "purge", "--older-than", "1d"), ("check", "--store")]
)
def test_a_server_that_cannot_be_reached_is_one_clear_line(
    dtm: Callable[..., Ran], mariadb: MariaDB, command: tuple[str, ...]
) -> None:
    port = free_port()
    ran = dtm(*command, DTM_STORE=mariadb.url("dtm_x").replace(str(mariadb.port), str(port)))
    assert refusal(ran).startswith(f"dtm: store mysql://127.0.0.1:{port}/dtm_x: Can't connect")
    assert ran.out == ""
    assert "heim" not in ran.err


def test_a_file_needs_no_upgrade(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    before = dtm("db", "status")
    assert (before.status, facts(before)["file"]) == (1, "does not exist yet")
    assert "made and upgraded whenever it is opened" in dtm("db", "upgrade").out
    assert refusal(dtm("db", "purge", "--older-than", "1d")).endswith("there is no schema, so nothing to purge")
    assert list(tmp_path.iterdir()) == []


# dtm db purge


def test_purge_deletes_what_ended_and_nothing_else(
    dtm: Callable[..., Ran], filled: str, mariadb: MariaDB, tmp_path: Path
) -> None:
    def purge(*arguments: str) -> str:
        ran = dtm("db", "purge", *arguments, DTM_STORE=filled)
        assert (ran.status, ran.err) == (0, "")
        return ran.out

    assert purge("--older-than", "11d") == "0 finished transactions deleted\n"
    assert purge("--older-than", "9.5d", "--dry-run") == "2000 finished transactions would be deleted\n"
    assert purge("--older-than", "240h") == "2000 finished transactions deleted\n"
    assert purge("--older-than", "0s") == "0 finished transactions deleted\n"
    query = "SELECT status, count(*) FROM dtm_transaction GROUP BY status"
    assert mariadb.run(query, database=database_of(tmp_path)) == ((2, 2000),)


def test_progress_is_shown_on_a_terminal(filled: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*COMMAND, "db", "purge", "--older-than", "1d"],
        cwd=tmp_path,
        env=environment(DTM_STORE=filled, TERM="xterm", COLUMNS="100"),
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
        timeout=60,
    )
    os.close(theirs)
    with closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        shown = terminal.read(100_000).decode()
    assert done.stdout == b"2000 finished transactions deleted\n"
    assert "deleting" in shown
    assert "/2000" in shown


@pytest.mark.parametrize("age", ["30", "d", "30 d", "30D", "-1d", "1w", "1e3d", "nan", "", "1.d", "٣d", "36501d"])
def test_a_strange_age_is_refused_clearly(age: str) -> None:
    ran = CliRunner().invoke(main, ["db", "purge", "--older-than", age])
    assert ran.exit_code == 2
    assert "Invalid value for '--older-than'" in ran.output
    assert "expected" in ran.output


def test_a_file_that_a_coordinator_holds(dtm: Callable[..., Ran], coordinator: Coordinator) -> None:
    assert "another process has it open" in refusal(dtm("db", "purge", "--older-than", "1d"))
    assert facts(dtm("db", "status"))["coordinator"] == "one is running"
    assert dtm("check", "--store").status == 0
    assert coordinator.client.get("newGid")[0] == 200
    assert coordinator.terminate() == 0
    assert dtm("db", "purge", "--older-than", "1d").out == "0 finished transactions deleted\n"


# dtm check --store


def test_check_shows_what_is_unfinished_and_since_when(dtm: Callable[..., Ran], filled: str) -> None:
    ran = dtm("check", "--store", DTM_STORE=filled)
    assert (ran.status, ran.err) == (0, "")
    assert facts(ran)["unfinished"] == "2000"
    assert re.search(r"^saga +submitted +2000 +10\.\d d$", ran.out, re.MULTILINE)
    assert ran.out.endswith("ok: store mysql, protocols msg, saga, tcc, xa\n")


def test_check_refuses_orphans_as_serve_does(dtm: Callable[..., Ran], filled: str) -> None:
    variables = {"DTM_STORE": filled, "DTM_PROTOCOLS": '{"saga": false}'}
    ran = dtm("check", "--store", **variables)
    assert "of protocols that are not enabled: saga;" in refusal(ran)
    assert re.search(r"^saga +submitted +2000 .* not enabled$", ran.out, re.MULTILINE)
    (line,) = dtm("serve", "--port", "0", **variables).err.splitlines()
    assert "not enabled: 2000 of 'saga'" in line


def test_check_warns_of_danger(dtm: Callable[..., Ran], filled: str, mariadb: MariaDB) -> None:
    mariadb.run("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        ran = dtm("check", "--store", DTM_STORE=filled)
    finally:
        mariadb.run("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    assert (ran.status, ran.err) == (1, "")
    assert "\ndanger: innodb_flush_log_at_trx_commit = 2: " in ran.out
    assert ran.out.splitlines()[-1].startswith("not safe: store mysql")
    in_memory = dtm("check", "--store", DTM_STORE="memory://")
    assert in_memory.status == 1
    assert "gone with the process" in in_memory.out


def test_check_makes_nothing(dtm: Callable[..., Ran], url: str, mariadb: MariaDB, tmp_path: Path) -> None:
    assert dtm("check", "--store", DTM_STORE=url).status == 0
    assert dtm("check", "--store").status == 0
    assert mariadb.run(f"SHOW DATABASES LIKE '{database_of(tmp_path)}'") == ()
    assert list(tmp_path.iterdir()) == []


# Passwords, and an empty server


def test_serve_makes_what_is_missing_and_shows_nobody_the_password(url: str, dtm: Callable[..., Ran], tmp_path) -> None:
    for arguments in (("--store", url), (f"--store={url}",)):
        with Coordinator(tmp_path, *arguments, **environment()) as process:
            assert process.process is not None
            shown = Path(f"/proc/{process.process.pid}/cmdline").read_bytes()
            assert b"serve\0--port\0" in shown
            for secret in (QUOTED_PASSWORD.encode(), PASSWORD.encode(), b"--store"):
                assert secret not in shown
            assert process.client.get("newGid")[0] == 200
            assert facts(dtm("db", "status", DTM_STORE=url))["schema"].startswith("revision 1;")
            assert process.terminate() == 0
        log = process.log.read_text()
        assert "started" in log
        assert "heim" not in log
    ran = dtm("db", "status", "--store", url, DTM_STORE="memory://")  # the command line is stronger
    assert "mysql://127.0.0.1" in ran.out
    assert "heim" not in ran.out + ran.err


@pytest.mark.parametrize("command", [("db", "status", "--store"), ("demo", "xa", "--db")])
def test_no_password_stays_in_the_list_of_processes(tmp_path: Path, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"mysql://u:geheim@127.0.0.1:{silent.getsockname()[1]}/{'dtm_x' if '--store' in command else ''}"
        process = subprocess.Popen(
            [*COMMAND, *command, url], cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL
        )
        try:
            silent.accept()[0].close()  # it has come as far as to connect
            shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        finally:
            process.kill()
            process.wait()
    assert command[0].encode() in shown
    assert b"geheim" not in shown


def test_only_the_option_and_its_value_are_taken_away() -> None:
    assert without(["-m", "x", "serve", "--store", "u", "--port", "0"], "--store") == [
        "-m",
        "x",
        "serve",
        "--port",
        "0",
    ]
    assert without(["serve", "--store=u", "--stores", "v"], "--store") == ["serve", "--stores", "v"]
    assert without(["serve", "--store"], "--store") == ["serve"]
