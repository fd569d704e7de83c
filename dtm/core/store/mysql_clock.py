"""The time of a database elsewhere, as known here without asking it."""

from __future__ import annotations

from dtm.core.clock import Clock


class DatabaseClock:
    """An offset between the database's clock and this machine's boot clock; all in microseconds.

    Before the first answer it goes by this machine's date. It is never ahead of the database by more than the clocks
    have drifted apart since the last answer: who sleeps until a row is due should not wake up too early.
    """

    def __init__(self, clock: Clock) -> None:
        self._seconds = clock.boot
        self._offset = clock.wall() * 1000 - self.boot()

    def boot(self) -> int:
        """The boot clock."""
        return int(self._seconds() * 1_000_000)

    def now(self) -> int:
        """The database's time."""
        return int(self._seconds() * 1_000_000) + self._offset

    def learn(self, earliest: int, latest: int, asked: int) -> None:
        """The database has just answered that its time was in [earliest, latest] after `asked` (boot clock).

        What is known is kept as long as it can be right: a slow answer tells little.
        """
        least, most = earliest - self.boot(), latest - asked
        if not least <= self._offset <= most:
            self._offset = least
