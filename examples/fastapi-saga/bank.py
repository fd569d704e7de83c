"""A bank whose accounts are in MariaDB. `python bank.py` makes its tables and opens two accounts."""

import os

from fastapi import FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dtm.client import Barrier, Failure
from dtm.client.barrier import create_table
from dtm.client.web import participant

engine = create_engine(os.environ["DATABASE"])
app = participant(FastAPI())  # Failure is answered by 409


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    balance: Mapped[int]


class Order(BaseModel):
    account: str
    amount: int


@app.post("/withdraw")
def withdraw(order: Order, request: Request) -> None:
    def work(session: Session) -> None:
        account = session.get(Account, order.account, with_for_update=True)
        if account is None or account.balance < order.amount:
            raise Failure(f"{order.account} has not enough")
        account.balance -= order.amount

    guarded(request, work)


@app.post("/deposit")
def deposit(order: Order, request: Request) -> None:
    def work(session: Session) -> None:
        account = session.get(Account, order.account, with_for_update=True)
        if account is None:
            raise Failure(f"{order.account} has no account")
        account.balance += order.amount

    guarded(request, work)


@app.post("/withdraw/undo")
def undo_withdraw(order: Order, request: Request) -> None:
    guarded(request, lambda session: add(session, order.account, order.amount))


@app.post("/deposit/undo")
def undo_deposit(order: Order, request: Request) -> None:
    guarded(request, lambda session: add(session, order.account, -order.amount))


@app.get("/accounts")
def accounts() -> dict[str, int]:
    with Session(engine) as session:
        return {account.name: account.balance for account in session.scalars(select(Account).order_by(Account.name))}


def guarded(request: Request, work) -> None:
    """Do it once, never after it was undone, in one transaction with the barrier's rows."""
    with Session(engine) as session:
        Barrier.from_request(request).call(session, work)


def add(session: Session, name: str, amount: int) -> None:
    """What undoes cannot refuse: the barrier lets it through only if there is something to undo."""
    session.get_one(Account, name, with_for_update=True).balance += amount


if __name__ == "__main__":
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        create_table(session)
        session.add_all([Account(name="alice", balance=100), Account(name="bob", balance=100)])
        session.commit()
