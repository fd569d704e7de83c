"""The SDK against a real coordinator; every test runs once with the client that blocks and once with the other one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dtm.client import AsyncClient, Client
from tests.client.middle import Middle
from tests.support.coordinator import FAST, Coordinator


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """One coordinator for all of these tests: every transaction has a gid of its own."""
    with Coordinator(tmp_path_factory.mktemp("client"), **FAST) as process:
        yield process


class Blocking:
    """An AsyncClient, or anything it made, used like a Client: each coroutine is run to its end."""

    def __init__(self, target: Any, runner: asyncio.Runner) -> None:
        self._target = target
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            if inspect.iscoroutine(result):
                result = self._runner.run(result)
            return Blocking(result, self._runner) if type(result).__name__.startswith("Async") else result

        return call

    def __enter__(self) -> Any:
        self._runner.run(self._target.__aenter__())
        return self

    def __exit__(self, *exc: Any) -> Any:
        return self._runner.run(self._target.__aexit__(*exc))


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """make_client(url, **arguments) -> a client, of either kind, to be used as a Client."""
    made: list[Any] = []
    with asyncio.Runner() as runner:

        def make(url: Any, **arguments: Any) -> Any:
            if request.param == "sync":
                made.append(Client(url, **arguments))
            else:
                made.append(Blocking(AsyncClient(url, **arguments), runner))
            return made[-1]

        yield make
        for client in made:
            client.close()


@pytest.fixture
def middle(request: pytest.FixtureRequest, shared: Coordinator) -> Iterator[Middle]:
    """Only the contract goes through; for the asynchronous client it is the original server's."""
    proxy = Middle(shared.url, original="async" in request.node.name)
    yield proxy
    proxy.close()
    assert proxy.faults == []


@pytest.fixture
def client(make_client: Callable[..., Any], middle: Middle) -> Any:
    """A client of a coordinator that runs as a process."""
    return make_client(middle.url)
