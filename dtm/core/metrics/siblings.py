"""Several processes behind one port: a scrape meets one of them, and asks the others.

Each process shows its own figures on a Unix socket in a folder that they share. Nothing is added up: every series gets
the label `process`. So when a process dies and another takes its place, its counters begin at 0 again, which is what
Prometheus expects of counters; a sum would fall for no reason that anybody could see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

PATIENCE = 1.0
"""Seconds that another process may take; one that takes longer is left out."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of `processes` processes this one is, and the folder that they share."""

    folder: Path
    index: int
    processes: int

    def socket_of(self, index: int) -> Path:
        """Where a process shows its figures."""
        return self.folder / f"{index}.sock"


class Siblings:
    """Shows this process's figures to the others, and asks for theirs."""

    def __init__(self, place: Place, page: Callable[[], bytes]) -> None:
        self._place = place
        self._page = page
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Show the figures from now on."""
        path = self._place.socket_of(self._place.index)
        path.unlink(missing_ok=True)  # left behind by one that was killed
        self._server = await asyncio.start_unix_server(self._show, path)

    async def stop(self) -> None:
        """Show them no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def all(self) -> Iterator[Metric]:
        """The figures of every process that answers, each series with the label `process`."""
        here = self._place.index
        others = [index for index in range(self._place.processes) if index != here]
        pages = await asyncio.gather(*(self._ask(index) for index in others))
        return merged({here: self._page(), **dict(zip(others, pages, strict=True))})

    async def _show(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._page())
        writer.close()

    async def _ask(self, index: int) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(self._place.socket_of(index))
                try:
                    return await reader.read(-1)
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""


def merged(pages: Mapping[int, bytes]) -> Iterator[Metric]:
    """The families of several pages, each series with the label `process`, in the order of the processes."""
    families: dict[str, Metric] = {}
    for index, page in sorted(pages.items()):
        for family in text_string_to_metric_families(page.decode()):
            known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            known.samples += [
                Sample(each.name, {**each.labels, "process": str(index)}, each.value) for each in family.samples
            ]
    return iter(families.values())
