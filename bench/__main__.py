"""`python -m bench`: start everything, run the cases, stop everything."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench import cases
from bench.cases import Bench
from bench.idle import idle, soak
from bench.participants import nginx
from bench.rounds import say
from bench.subjects import OnMariaDB, OnSqlite, Subject, bare
from tests.support.mariadb import MariaDB

CASES = ("steady", "shapes", "long", "hanging", "idle")


def main() -> None:
    """Parse, start, run."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="dtm-bench-", dir=options.folder) as name, ExitStack() as ending:
        folder = Path(name)
        participant, url = nginx(folder)
        ending.callback(participant.stop)
        subjects = _subjects(folder, options, ending)
        bench = Bench(folder, subjects, participant, url, options.rounds, options.seconds)
        say(f"{options.rounds} rounds of {options.seconds:g} s; medians, minimum and maximum in brackets")
        for case in options.cases:
            _run(case, bench, options)
        if options.fsync_delay:
            cases.slow_disk(bench, options.fsync_delay)
        if options.soak:
            soak(bench.coordinators[0], url, options.soak)


def _run(case: str, bench: Bench, options: argparse.Namespace) -> None:
    runs: dict[str, Callable[[], None]] = {
        "steady": lambda: cases.steady(bench, options.connections),
        "shapes": lambda: cases.shapes(bench),
        "long": lambda: cases.long_sagas(bench),
        "hanging": lambda: cases.one_hangs(bench),
        "idle": lambda: idle(bench.folder),
    }
    runs[case]()


def _subjects(folder: Path, options: argparse.Namespace, ending: ExitStack) -> list[Subject]:
    def started(subject: Subject) -> Subject:
        ending.callback(subject.stop)
        return subject

    subjects = [started(bare(folder))]
    for server in options.servers:
        if "sqlite" in options.stores:
            home = folder / f"{server}-on-sqlite"
            subjects.append(started(OnSqlite(home, _name("sqlite", server), DTM_HTTP_SERVER=server)))
    if "mariadb" in options.stores:
        home = folder / "mariadb"
        home.mkdir()
        database = MariaDB(home).start()
        ending.callback(database.stop)
        for server in options.servers:
            home = folder / f"{server}-on-mariadb"
            subjects.append(started(OnMariaDB(home, database, _name("mariadb", server), DTM_HTTP_SERVER=server)))
    subjects += [Subject(url, url) for url in options.against]
    return subjects


def _name(store: str, server: str) -> str:
    return f"dtm {store}" if server == "tornado" else f"dtm {store}/h"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--cases", nargs="*", choices=CASES, default=list(CASES), help="what to run")
    add("--stores", nargs="*", choices=("sqlite", "mariadb"), default=["sqlite", "mariadb"])
    add("--servers", nargs="*", choices=("tornado", "httptools"), default=["tornado"], help="httptools is shown as /h")
    add("--connections", "-c", nargs="*", type=int, default=[1, 20, 64, 256], help="for the case steady")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=5.0, help="whole seconds per round and subject")
    add("--against", nargs="*", default=[], metavar="URL", help="servers to measure beside, in the same rounds")
    add("--fsync-delay", type=_milliseconds, default=0.0, metavar="5ms", help="also measure a disk that slow")
    add("--soak", type=float, default=0.0, metavar="MINUTES", help="also run one coordinator for that long")
    add("--folder", metavar="DIR", help="where the databases lie (the system's temporary folder)")
    add("--quick", action="store_true", help="c = 20, three rounds of two seconds, only the case steady")
    options = parser.parse_args()
    if options.quick:
        options.cases, options.connections, options.rounds, options.seconds = ["steady"], [20], 3, 2.0
    return options


def _milliseconds(text: str) -> float:
    return float(text.removesuffix("ms"))


if __name__ == "__main__":
    main()
