"""The bank's run with everything made with the SDK: three services, a framework and a database each, and customers."""

from __future__ import annotations

import random
from pathlib import Path

import psycopg

from tests.client.bank.books import Books
from tests.client.bank.customer import Customer
from tests.client.bank.desk import ServiceBank
from tests.support.bank_nemesis import Nemesis, blows_to_a_service
from tests.support.bank_run import BankRun, Plan
from tests.support.bank_workload import accounts
from tests.support.mariadb import MariaDB, database_of
from tests.support.postgresql import PostgreSQL
from tests.support.service import Service

SERVICES = ("flask_service", "fastapi_service", "tornado_service")


class SdkRun(BankRun):
    """Coordinators and the first bank are on MariaDB, the second bank on PostgreSQL, the third on SQLite."""

    def __init__(self, plan: Plan, server: MariaDB, postgresql: PostgreSQL, folder: Path) -> None:
        self.postgresql = postgresql
        super().__init__(plan, server, folder)

    def make_banks(self, folder: Path) -> list[ServiceBank]:
        """The banks, each with a database of its own."""
        patience = 0.6 * self.plan.request_timeout  # the coordinators are to hear it
        return [
            ServiceBank(
                f"bank {number}", accounts(number), Books(url),
                Service(f"tests.client.bank.{name}", url, folder / f"{name}.log"), patience, **habits,
            )
            for number, (url, name, habits) in enumerate(
                zip(self._databases(folder), SERVICES, self.habits(), strict=True)
            )
        ]  # fmt: skip

    def _databases(self, folder: Path) -> list[str]:
        name = database_of(folder / "bank")
        self.server.run(f"CREATE DATABASE {name}")
        with psycopg.connect(self.postgresql.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        postgresql = self.postgresql.url.rpartition("/")[0]
        return [f"mysql://127.0.0.1:{self.server.port}/{name}", f"{postgresql}/{name}", f"sqlite://{folder}/bank.db"]

    def make_client(self) -> Customer:
        """Who uses the SDK."""
        rng = random.Random(self.rng.random())
        return Customer(self.nodes, self.banks, self.recorder, rng, self.plan.timeout_to_fail)

    def strike(self, nemesis: Nemesis) -> None:
        """The services are struck as well."""
        super().strike(nemesis)
        if self.plan.gap_of_services:
            for bank in self.banks:
                rng = random.Random(self.rng.random())
                blows = blows_to_a_service(rng, self.plan.seconds, self.plan.gap_of_services, bank.patience)
                nemesis.strike_service(f"service {bank.name}", bank.service, blows)
