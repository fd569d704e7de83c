"""Writes docs/client.md from the docstrings of `dtm.client`: `make reference`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dtm.client
import dtm.client.barrier
import dtm.client.web

PAGE = Path(__file__).with_name("client.md")

HEAD = """# The Python client

Written by `make reference` from the docstrings of `dtm.client`. `pip install ./packaging/dtm-client`, in a checkout,
has all of it (nothing is on PyPI yet). What a mode is good for is in [modes.md](modes.md), what the barrier does in
[barrier.md](barrier.md), whole services are in [examples](../examples).
An asynchronous class is given by what sets it apart: its methods are those of its counterpart, with `await`.

## By example

With a coordinator and two banks to play with:

```sh
dtm serve >dtm.log 2>&1 &
python3 -m dtm.demo 8081 8082 >banks.log &
for url in http://127.0.0.1:36789/readyz http://127.0.0.1:8081/ http://127.0.0.1:8082/; do
  until curl -s $url >ready; do sleep 0.2; done
done
```

A TCC, in asyncio. Leaving the block submits; an exception aborts, and is raised on:

```python
# pay.py
import asyncio
from dtm.client import AsyncClient, Failure


async def pay(amount):
    async with AsyncClient("http://127.0.0.1:36789") as client:
        try:
            async with client.tcc(wait_result=True) as tcc:
                for url in ("http://127.0.0.1:8081/withdraw", "http://127.0.0.1:8082/deposit"):
                    await tcc.call_branch(url, url, url, {"amount": amount})
            print("paid")
        except Failure as error:
            print((await client.wait(tcc.gid)).status, error)


for amount in (30, 500):
    asyncio.run(pay(amount))
```

```sh
python3 pay.py
```

```text
paid
failed http://127.0.0.1:8081/withdraw refused: insufficient balance
```

A participant with branches of its own: it registers and tries them in its try, and the coordinator confirms or cancels
them together with the branch above:

```python
# shop.py
from fastapi import FastAPI, Request
from dtm.client import Client
from dtm.client.web import participant

app = participant(FastAPI())
dtm = Client("http://127.0.0.1:36789")


@app.post("/buy")
def buy(order: dict, request: Request):
    if request.query_params["op"] == "try":
        nested = dtm.nested_tcc(request.query_params)
        for url in ("http://127.0.0.1:8081/withdraw", "http://127.0.0.1:8082/deposit"):
            nested.call_branch(url, url, url, order)
```

```sh
uvicorn shop:app --port 8083 >shop.log 2>&1 &
until curl -s http://127.0.0.1:8083/openapi.json >ready; do sleep 0.2; done
python3 -c '
from dtm.client import Client
with Client("http://127.0.0.1:36789").tcc(wait_result=True) as tcc:
    tcc.call_branch(*["http://127.0.0.1:8083/buy"] * 3, {"amount": 20})'
curl -s http://127.0.0.1:8081/ http://127.0.0.1:8082/
```

```text
{"bank": "A", "balance": 50, "frozen": 0}
{"bank": "B", "balance": 150, "frozen": 0}
```

A saga is in the [README](../README.md#from-python), `do_and_submit` in the
[outbox](../examples/postgresql-outbox/README.md). What a submit raises, and what is to be done then:

| error | stored | then |
|---|---|---|
| `Failure` | yes | it is, or is being, rolled back: `wait(gid)` returns when that is done |
| `Ongoing` | yes | it goes on, and may still succeed: `wait(gid)` |
| `Conflict` | by an earlier one | read its `status`: if the earlier one was the same, `"succeed"` is success |
| `OutcomeUnknown` | perhaps | submit the same again, with the same gid |
| `Unreachable` | no | submit the same again, or give up |
| `InvalidRequest`, `Unauthorized` | no | mend it |
"""

TAIL = """
## What importing it costs

`import dtm.client` loads httpx and the standard library, no framework and no driver. `python3 -m bench.imports` takes
the figures of `python3 -X importtime`: httpx 111 ms, dtm.client 36 ms more (the least of seven runs, on the busy
two-core machine of the tests, Python 3.11).
"""

SECTIONS: dict[str, tuple[ModuleType, list[str]]] = {
    "Transactions": (
        dtm.client,
        ["Client", "Saga", "Msg", "Tcc", "NestedTcc", "Options", "Transaction", "Reply", "new_gid"],
    ),
    "Transactions, asynchronous": (dtm.client, ["AsyncClient", "AsyncSaga", "AsyncMsg", "AsyncTcc", "AsyncNestedTcc"]),
    "The barrier": (dtm.client.barrier, ["Barrier", "Guard", "create_table", "purge"]),
    "Participants": (dtm.client.web, ["participant"]),
    "Errors": (
        dtm.client,
        [
            "DtmError", "Failure", "Ongoing", "Conflict", "InvalidRequest", "Fault", "NotFound", "Unauthorized",
            "OutcomeUnknown", "Unreachable", "ParticipantError", "Duplicated",
        ],
    ),
}  # fmt: skip
"""Heading -> the module that has these names."""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for heading, (module, names) in SECTIONS.items():
        lines.append(f"## {heading}\n")
        for name in names:
            lines += described(name, getattr(module, name))
    return "\n".join(lines) + TAIL


def described(name: str, thing: Any) -> Iterator[str]:
    """A class with its public methods, or a function."""
    if not inspect.isclass(thing):
        yield f"### `{name}{signature(thing)}`\n\n{inspect.getdoc(thing)}\n"
        return
    yield f"### `{name}`\n\n{inspect.getdoc(thing)}\n"
    if issubclass(thing, Exception | dict):
        return
    if "__init__" in vars(thing):
        yield f"- `{name}{signature(thing.__init__)}`"
    for method, function in methods(thing, name.startswith("Async")):
        doc = (inspect.getdoc(function) or "").replace("\n", "\n  ").replace("\n  \n", "\n\n")
        yield f"- `.{method}{'' if isinstance(function, property) else signature(function)}`: {doc}"
    yield ""


def methods(thing: type, asynchronous: bool) -> Iterator[tuple[str, Any]]:
    """The public methods and properties, inherited ones too; of an asynchronous class only what it has beyond them."""
    for name in dict.fromkeys(
        name for each in thing.__mro__ if each.__module__.startswith("dtm.") for name in vars(each)
    ):
        value = inspect.getattr_static(thing, name)
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        public = not name.startswith("_") and (inspect.isfunction(function) or isinstance(function, property))
        if public and name not in INTERNAL and not (asynchronous and has_counterpart(thing, name)):
            yield name, function


INTERNAL = {"run", "body", "block", "done", "may_be_done", "excerpt"}
"""What the parts of the package ask of one another."""


def has_counterpart(thing: type, name: str) -> bool:
    """Whether the class that blocks has a method of this name."""
    return hasattr(getattr(dtm.client, thing.__name__.removeprefix("Async")), name)


def signature(function: Callable[..., Any]) -> str:
    """Its parameters as they are called, on one line, without self and annotations."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "cls")
    ]
    return str(inspect.Signature(parameters))


if __name__ == "__main__":
    PAGE.write_text(page())
