"""What `dtm db` and `dtm check --store` do: look at a store, upgrade its schema, delete what ended long ago."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table
from rich.text import Text

from dtm.core.config import Settings
from dtm.core.errors import DtmError, StartupError
from dtm.core.registry import Registered, refuse_versions
from dtm.core.retention import CHUNK, PAUSE
from dtm.core.store.base import Store
from dtm.core.store.factory import open_store
from dtm.core.store.survey import Backlog, Survey, total
from dtm.terminal import harmless, show


async def status(settings: Settings) -> int:
    """Show the store; the exit status."""
    survey = await _store(settings).survey()
    show(_facts(survey))
    return 0 if survey.present == survey.known else 1


async def upgrade(settings: Settings) -> None:
    """Upgrade the schema, and say what was done. StartupError."""
    store = _store(settings)
    name, done = (await store.survey()).name, await store.upgrade()
    if done is None:
        said = "nothing to do; its schema is made and upgraded whenever it is opened"
    elif done[0] == done[1]:
        said = f"nothing to do; its schema has revision {done[1]}, which is this version's"
    else:
        said = f"its schema had revision {done[0]}, and has {done[1]} now"
    show(Text(f"{name}: {said}"))


async def purge(settings: Settings, age: float, *, dry_run: bool) -> None:
    """Delete what ended more than `age` seconds ago, or count it. StartupError."""
    store = _store(settings)
    survey = await store.survey()
    if survey.present == 0:
        raise StartupError(f"store {survey.name}: there is no schema, so nothing to purge")
    await store.open()
    try:
        before = store.now() - round(age * 1000)
        number = await store.count_finished(before)
        if dry_run:
            show(Text(f"{number} finished transactions would be deleted"))
        else:
            await _delete(store, before, number)
    except DtmError as error:
        raise StartupError(f"store {survey.name}: {error}") from error
    finally:
        await store.close()


async def _delete(store: Store, before: int, number: int) -> None:
    """Delete chunk by chunk, with rests as in retention; the bar is for people only."""
    console, clock = Console(stderr=True), asyncio.get_running_loop().time
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    deleted = 0
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("deleting", total=number)
            began = clock()
            while done := await store.purge_finished(before, CHUNK):
                deleted += done
                progress.update(bar, completed=deleted)
                await asyncio.sleep(max(PAUSE, clock() - began))
                began = clock()
    finally:
        show(Text(f"{deleted} finished transactions deleted"))


async def check(settings: Settings, enabled: Mapping[str, Registered]) -> int:
    """Show what is in the store and what endangers it; the exit status. StartupError: `serve` would refuse it."""
    survey = await _store(settings).survey()
    show(_facts(survey))
    if survey.backlog is not None and survey.backlog.kinds:
        show(_kinds(survey.backlog, survey.now, enabled))
    for danger in survey.dangers:
        show(Text.assemble(("danger: ", "red"), danger))
    _refuse(survey, enabled)
    return 1 if survey.dangers else 0


def _refuse(survey: Survey, enabled: Mapping[str, Registered]) -> None:
    """StartupError for what `serve` would refuse. A store without a schema it does not: it makes one."""
    if survey.present not in (0, survey.known):
        advice = "upgrade it by dtm db upgrade" if survey.present < survey.known else "it is of a later version"
        raise StartupError(f"store {survey.name}: its schema is not this version's: {advice}")
    kinds = survey.backlog.kinds if survey.backlog else {}
    orphans = sorted({trans_type for trans_type, _ in kinds} - set(enabled))
    if orphans:
        names = ", ".join(harmless(name) for name in orphans)
        raise StartupError(
            f"store {survey.name}: unfinished transactions of protocols that are not enabled: {names}; "
            "enable them, or start with --allow-orphans to leave them alone"
        )
    refuse_versions(enabled, survey.versions)


def _facts(survey: Survey) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in _named(survey):
        table.add_row(Text(name, "dim"), Text(harmless(text)))
    return table


def _named(survey: Survey) -> Iterator[tuple[str, str]]:
    yield "store", survey.name
    if survey.known:
        there = f"revision {survey.present}" if survey.present else "none yet"
        yield "schema", f"{there}; this version of dtm knows revision {survey.known}"
    yield from survey.facts
    if survey.backlog is not None:
        yield "unfinished", total([found.count for found in survey.backlog.kinds.values()])
        late = "" if survey.backlog.due_since is None else f", since {_span(survey.now - survey.backlog.due_since)}"
        yield "due", f"{total([survey.backlog.due])}{late}"
        if survey.backlog.quarantined:
            yield "quarantined", total([survey.backlog.quarantined])


def _kinds(backlog: Backlog, now: int, enabled: Collection[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("protocol", "status", "unfinished", "oldest", ""):
        table.add_column(title, justify="right" if title in ("unfinished", "oldest") else "left")
    for (trans_type, state), found in sorted(backlog.kinds.items()):
        remark = "" if trans_type in enabled else "not enabled"
        table.add_row(harmless(trans_type), state, total([found.count]), _span(now - found.oldest), Text(remark, "red"))
    return table


def _span(milliseconds: int) -> str:
    """A span of time in its largest unit."""
    seconds = max(milliseconds, 0) / 1000
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _store(settings: Settings) -> Store:
    return open_store(settings.store, db_timeout=settings.db_timeout)
