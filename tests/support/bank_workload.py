"""What the clients of the bank want: a hundred accounts at three banks, transfers of 1 to 100 units in all modes."""

from __future__ import annotations

import random

from tests.support.bank import CLOSED
from tests.support.history import Leg, Transfer

BANKS = 3
ACCOUNTS = 100
OPENING = 400
"""Units in each account before it begins."""

CLOSED_ACCOUNTS = range(10)
SAVINGS = range(10, 20)
"""Accounts that nobody pays from, so that what came in can be taken back whenever that is decided."""

MODES = ("saga", "concurrent", "tcc", "msg")
TO_A_CLOSED_ONE = 0.2
QUIRKS = 0.1


def accounts(bank: int) -> dict[str, int]:
    """Name -> opening balance of each account of one bank."""
    return {_name(number): OPENING for number in range(ACCOUNTS) if number % BANKS == bank}


def transfers(rng: random.Random, count: int, mark: str) -> list[Transfer]:
    """So many; `mark` begins every gid."""
    return [_transfer(rng, f"{mark}-{number}") for number in range(count)]


def _transfer(rng: random.Random, gid: str) -> Transfer:
    """From one or two accounts to one, and those pay first: nothing can be refused once money has come in.

    For sagas give no isolation: it could be spent before it is taken back. (Savings are not spent, so that there it
    may be.) What is refused: a closed account on either side, and a lack of money.
    """
    mode = rng.choice(MODES)
    quirk = _quirk(rng, mode)
    open_accounts = [number for number in range(ACCOUNTS) if number not in CLOSED_ACCOUNTS]
    spending = [number for number in open_accounts if number not in SAVINGS]
    one, other = rng.sample(spending, 2)
    to = rng.choice([number for number in (SAVINGS if quirk == "fickle" else spending) if number not in (one, other)])
    closed = rng.choice(CLOSED_ACCOUNTS)
    if rng.random() < TO_A_CLOSED_ONE:
        one, to = (closed, to) if mode == "msg" else (one, closed)  # what a message pays to cannot refuse
    amount = rng.randint(1, 100)
    if rng.random() < 0.5 or mode == "msg":
        changes = {one: -amount, to: amount}
    else:
        changes = {one: -amount, other: -rng.randint(1, 100)}
        changes[to] = -sum(changes.values())
    legs = tuple(Leg(number % BANKS, _name(number), change) for number, change in changes.items())
    return Transfer(gid, mode, legs, wait=rng.random() < 0.3, quirk=quirk)


def _quirk(rng: random.Random, mode: str) -> str:
    if rng.random() > QUIRKS:
        return ""
    return "dies" if mode in ("tcc", "msg") else rng.choice(["fickle", "faulty"])


def _name(number: int) -> str:
    return f"{CLOSED if number in CLOSED_ACCOUNTS else 'account'}-{number}"
