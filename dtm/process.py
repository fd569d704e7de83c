"""`dtm serve` as a process: logging, the event loop, signals, the ready line."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import uvloop

from dtm.core.app import App
from dtm.core.config import Settings
from dtm.core.logs import NODE, fields
from dtm.core.metrics.siblings import Place
from dtm.supervisor import Supervisor, reserve

log = logging.getLogger("dtm")


class JsonFormatter(logging.Formatter):
    """One JSON object per line, for whatever collects logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, logger, message; gid, pass and node of what it is about; the traceback if there is one."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | fields(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure_logging(level: str) -> None:
    """Logs go to stderr: plain on a terminal, JSON otherwise."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(plain if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("tornado.access").setLevel(logging.ERROR)


def serve(settings: Settings, *, allow_orphans: bool = False) -> int:
    """Run a coordinator until SIGTERM or SIGINT; a second signal exits at once. Returns the exit status.

    StartupError when it cannot start.
    """
    configure_logging(settings.log_level)
    if settings.processes > 1:
        return _serve_together(settings, allow_orphans)
    app = App(settings)
    NODE.set(app.node.name)
    uvloop.run(_serve(app, allow_orphans, lambda: _say_ready(settings.host, app.port)))
    return 0


def _serve_together(settings: Settings, allow_orphans: bool) -> int:
    """Several processes behind one port, and this one, which watches them."""
    held = reserve(settings.host, settings.port)
    settings = replace(settings, port=held[0].getsockname()[1])
    with TemporaryDirectory(prefix="dtm-") as folder:

        def run(index: int, ready: Callable[[], None], lifeline: int) -> None:
            for each in held:
                each.close()
            app = App(settings, place=Place(Path(folder), index, settings.processes))
            NODE.set(app.node.name)
            uvloop.run(_serve(app, allow_orphans, ready, lifeline))

        return Supervisor(settings.processes, run).watch(lambda: _say_ready(settings.host, settings.port))


def _say_ready(host: str, port: int) -> None:
    place = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"dtm {version()} ready on http://{place}:{port}\n")
    sys.stdout.flush()


async def _serve(app: App, allow_orphans: bool, ready: Callable[[], None], lifeline: int | None = None) -> None:
    """Serve until told to stop. lifeline: stop when this descriptor comes to its end; a signal then says no more."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def stop() -> None:
        if told.is_set() and lifeline is None:
            os._exit(1)
        told.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    if lifeline is not None:

        def ended() -> None:
            loop.remove_reader(lifeline)
            stop()

        loop.add_reader(lifeline, ended)
    await app.start(allow_orphans=allow_orphans)
    ready()
    kind = app.settings.store.partition("://")[0]
    log.info("started: node %s, store %s, protocols %s", app.node.name, kind, ", ".join(sorted(app.node.rules)))
    await told.wait()
    log.info("draining: at most %s s", app.settings.shutdown_grace)
    await app.stop()
    log.info("stopped")


def version() -> str:
    """The version of the installed distribution."""
    return metadata.version("dtm-coordinator")
