"""Topics: named lists of subscribers, kept in the store's key-value area (contract 1.10)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from dtm.core.errors import Conflict, InvalidRequest, NotFound
from dtm.core.model import Branch
from dtm.core.protocol import changed_request
from dtm.core.service.branching import Branching, UnreadTopic
from dtm.core.service.intake import CONTROL, Intake
from dtm.core.service.times import rfc3339
from dtm.core.store.base import KV, Store

CATEGORY = "topics"
TRIES = 20


class Topics:
    """Subscriptions, and what they mean for a new transaction."""

    def __init__(self, store: Store, branching: Branching) -> None:
        self._store = store
        self.branching = branching

    async def expanded(self, intake: Intake) -> tuple[Branch, ...]:
        """The branches of a request, with every topic that it names read at this moment.

        `expand` is pure, so it is simply run again when it asks for a topic that has not been read: no cache, and a
        subscription takes effect at once on every node.
        """
        known: dict[str, tuple[str, ...] | None] = {}
        request = changed_request(intake.request, topic=partial(_urls_of, known))
        while True:
            try:
                return self.branching.expanded(request, intake.registered)
            except UnreadTopic as unread:
                name = unread.args[0]
                entry = await self._store.kv_get(CATEGORY, name)
                known[name] = None if entry is None else tuple(item["url"] for item in orjson.loads(entry.value))

    async def subscribe(self, topic: str, url: str, remark: str) -> None:
        """Add a subscriber; the topic is made when it does not exist."""
        _check(topic, url)
        problem = self.branching.problem_with(url)
        if problem:
            raise InvalidRequest("/url", problem)

        def add(items: list[dict[str, str]] | None) -> list[dict[str, str]]:
            if any(item["url"] == url for item in items or []):
                raise InvalidRequest("/url", "this url exists")
            return [*(items or []), {"url": url, "remark": remark}]

        await self._update(topic, add)

    async def unsubscribe(self, topic: str, url: str) -> None:
        """Remove a subscriber; the topic stays, if need be empty."""
        _check(topic, url)

        def remove(items: list[dict[str, str]] | None) -> list[dict[str, str]]:
            if items is None:
                raise NotFound("no such a topic")
            if not items:
                raise InvalidRequest("/topic", "this topic is empty")
            left = [item for item in items if item["url"] != url]
            if len(left) == len(items):
                raise InvalidRequest("/url", "no such an url")
            return left

        await self._update(topic, remove)

    async def delete(self, topic: str) -> None:
        """Remove a topic with all its subscribers."""
        if not await self._store.kv_delete(CATEGORY, topic):
            raise NotFound("no such a topic")

    async def scan(self, cat: str, limit: int, position: str) -> dict[str, Any]:
        """Entries of a category, page by page."""
        entries, cursor = await self._store.kv_scan(cat, position, limit)
        return {"kv": [_view(entry) for entry in entries], "next_position": cursor}

    async def get(self, cat: str, key: str) -> dict[str, Any]:
        """One entry, or none."""
        entry = await self._store.kv_get(cat, key)
        return {"kv": [] if entry is None else [_view(entry)]}

    async def _update(self, topic: str, change: Any) -> None:
        for _ in range(TRIES):
            entry = await self._store.kv_get(CATEGORY, topic)
            items = change(None if entry is None else orjson.loads(entry.value))
            value = orjson.dumps(items).decode()
            if await self._store.kv_put(CATEGORY, topic, value, 0 if entry is None else entry.version):
                return
        raise Conflict(f"the topic {topic} changes too fast, try again")


def _urls_of(known: Mapping[str, tuple[str, ...] | None], name: str) -> tuple[str, ...] | None:
    if name not in known:
        raise UnreadTopic(name)
    return known[name]


def _check(topic: str, url: str) -> None:
    if not topic:
        raise InvalidRequest("/topic", "empty topic")
    if len(topic) > 128 or CONTROL.search(topic):
        raise InvalidRequest("/topic", "expected 1 to 128 characters, none of them a control character")
    if not url:
        raise InvalidRequest("/url", "empty url")


def _view(entry: KV) -> dict[str, Any]:
    return {
        "id": 0,
        "create_time": rfc3339(entry.created_at),
        "update_time": rfc3339(entry.updated_at),
        "cat": entry.cat,
        "k": entry.key,
        "v": entry.value,
        "version": entry.version,
    }
