"""What the errors of a MySQL or MariaDB server say about the statement that met them."""

from __future__ import annotations

from enum import Enum


class Fate(Enum):
    """What became of a statement that failed. Every statement is a transaction of its own: all of it, or nothing."""

    AGAIN = "nothing was done; the same statement may succeed at once"
    VALUE = "nothing was done; a value of it is to blame"
    NOT_NOW = "nothing was done; this server takes no such statement, for now"
    UNKNOWN = "it may have been done, or be done yet"


LOCK_WAIT = 1205
NO_SUCH_DATABASE = 1049
NO_SUCH_TABLE = 1146

_AGAIN = {
    LOCK_WAIT,
    1020,  # the record has changed since it was read
    1213,  # deadlock; on a cluster also a conflict with another node
    1412,  # the table definition has changed
    3101,  # rolled back by a replication plugin
}
_VALUE = {
    1048,  # a column cannot be null
    1118,  # row too large
    1153,  # packet too large
    1264,  # out of range
    1265,  # truncated
    1292,  # incorrect value
    1300,  # invalid character string
    1366,  # incorrect string
    1406,  # too long
    1690,  # out of range
    3819,  # check constraint
    4025,  # check constraint
}
_NOT_NOW = {
    1036,  # the table is read-only
    1037,  # out of memory
    1038,  # out of sort memory
    1040,  # too many connections
    1041,  # out of resources
    1044,  # access to the database denied
    1045,  # access denied
    1047,  # this node of a cluster is not ready
    NO_SUCH_DATABASE,
    1054,  # no such column
    1064,  # syntax
    1114,  # the table is full: so is the disk
    1129,  # host blocked
    1130,  # host not allowed
    1135,  # cannot create a thread
    1142,  # command denied for a table
    1143,  # command denied for a column
    NO_SUCH_TABLE,
    1203,  # too many connections of this user
    1226,  # a resource of this user is used up
    1227,  # a privilege is missing
    1290,  # the server runs with --read-only
    1665,  # the binary log's format cannot take row changes
    1792,  # a read-only transaction
    1836,  # read-only mode
}


class StatementError(Exception):
    """A statement failed. Never leaves the store.

    `code`: the server's or the driver's number, 0 when there is none. Codes that stand in no table count as unknown,
    and so do 1053, 1317, 1927, 1969, 2006, 2013, 3024, 4031: the connection, the statement or the server was ended, and
    some servers say so after the commit too.
    """

    def __init__(self, fate: Fate, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})" if code else text)
        self.fate = fate
        self.code = code


def while_connecting(error: Exception) -> StatementError:
    """The error of a connection that could not be had: no statement has left."""
    code, text = _said(error)
    cause = error.__cause__
    return StatementError(Fate.NOT_NOW, code, f"{text}: {cause}" if cause else text)


def while_running(error: Exception) -> StatementError:
    """The error of a statement that was sent."""
    code, text = _said(error)
    fate = Fate.UNKNOWN
    for codes, meaning in ((_AGAIN, Fate.AGAIN), (_VALUE, Fate.VALUE), (_NOT_NOW, Fate.NOT_NOW)):
        if code in codes:
            fate = meaning
    return StatementError(fate, code, text)


def _said(error: Exception) -> tuple[int, str]:
    """Number and text of a driver's error, on one line."""
    code, text = 0, str(error) or type(error).__name__
    if len(error.args) > 1 and isinstance(error.args[0], int):
        code, text = error.args[0], str(error.args[1])
    return code, " ".join(text.split())
