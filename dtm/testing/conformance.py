"""conformance(): does a protocol keep the laws? Every single fault at every place, and many generated histories.

With several processes each of them loads the protocol anew, so that none depends on what another one remembers.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from dtm.core.protocol import Protocol
from dtm.testing.examine import ENOUGH, Broken, Examiner, Tally, Work
from dtm.testing.law import Law
from dtm.testing.order import SENTENCE, UNDONE_IN_REVERSE
from dtm.testing.report import Report, Verdict, Violation
from dtm.testing.requests import Requests, examples
from dtm.testing.saved import replay
from dtm.testing.shrink import Shrinker
from dtm.testing.sources import find_laws, find_protocol

HISTORIES = 1000
DETERMINISTIC = "deterministic"
SAME = "The same seed gives the same history, in this process and in any other."

Progress = Callable[[int, int], None]
"""progress(done, all): pieces of work."""


@dataclass(frozen=True)
class Subject:
    """What is examined, in a form that other processes understand, unless it holds values where names could be."""

    protocol: Protocol | str
    requests: Sequence[Mapping[str, Any]] | Requests | None
    laws: Sequence[Law] | str

    @cached_property
    def examiner(self) -> Examiner:
        """All of it loaded."""
        protocol = find_protocol(self.protocol) if isinstance(self.protocol, str) else self.protocol
        requests = self.requests if isinstance(self.requests, Requests) else examples(protocol, self.requests)
        laws = find_laws(self.laws) if isinstance(self.laws, str) else self.laws
        return Examiner(protocol, requests, laws)

    @property
    def portable(self) -> bool:
        """Whether another process can load it: functions cannot be sent."""
        return isinstance(self.protocol, str) and (isinstance(self.laws, str) or not self.laws)


def conformance(
    protocol: Protocol | str,
    requests: Sequence[Mapping[str, Any]] | Requests | None = None,
    *,
    laws: Sequence[Law] | str = (),
    histories: int = HISTORIES,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Examine a protocol; `report.ok` says whether it keeps all laws, `str(report)` tells the whole story.

    protocol: a value, or where it is found: "package.module", "./file.py" or the name of a built-in one.
    requests: bodies of prepare and submit; without them the "examples" in the protocol's schemas.
    laws: what this protocol promises beyond the laws for all; or the module or file that has them as `LAWS`.
    jobs: in so many processes, for a protocol (and laws) given by where they are found.

    StartupError when something is not whole, or not there; NoExamples, which is one, when there are no requests, or
    they are refused, or have nobody called.
    """
    began = time.monotonic()
    subject = Subject(protocol, requests, laws)
    if jobs > 1 and not subject.portable:
        raise ValueError("several jobs need a protocol, and laws, that are given by where they are found")
    examiner = subject.examiner
    examiner.must_call()
    report = Report(examiner.protocol.name, examiner.protocol.version, list(_verdicts(examiner)), seed=seed)
    work = list(examiner.work(histories, seed))
    found: list[tuple[Broken, int]] = []
    for done, (piece, tally) in enumerate(_in_processes(subject, jobs, work) if jobs > 1 else _here(examiner, work), 1):
        report.single += tally.single
        report.generated += tally.generated
        found += [(broken, piece.settings) for broken in tally.broken]
        if progress is not None:
            progress(done, len(work))
        report.complete = report.complete and tally.complete
        if len(found) >= ENOUGH:
            report.complete = report.complete and done == len(work)
            break
    for verdict in report.verdicts:
        _judge(verdict, examiner, [(broken, settings) for broken, settings in found if broken.law == verdict.law])
    report.seconds = time.monotonic() - began
    return report


def _verdicts(examiner: Examiner) -> Iterator[Verdict]:
    """One for each law, the most telling first."""
    yield from (Verdict(law.name, law.sentence) for law in examiner.laws)
    if examiner.protocol.undoable:
        yield Verdict(UNDONE_IN_REVERSE, SENTENCE)
    yield Verdict(DETERMINISTIC, SAME)


def _judge(verdict: Verdict, examiner: Examiner, found: Sequence[tuple[Broken, int]]) -> None:
    """Note how often a law was broken, and the smallest history that does."""
    verdict.broken = len(found)
    if not found:
        return
    if verdict.law == DETERMINISTIC:
        verdict.example = Violation(found[0][0].how, None)
        return
    broken, settings = min(found, key=lambda pair: _size(pair[0].history))
    history = replay(examiner.protocol, broken.history)
    law = examiner.law(verdict.law, history, settings)
    history = Shrinker(examiner.protocol, law).smallest(history)
    hows = law.broken_by(history, examiner.protocol)
    verdict.example = Violation(hows[0] if hows else broken.how, history)


def _size(told: Mapping[str, Any]) -> tuple[int, int]:
    faults = told["faults"]
    return sum(len(faults[name]) for name in ("strikes", "replies", "verdicts")), len(told["story"])


def _here(examiner: Examiner, work: Sequence[Work]) -> Iterator[tuple[Work, Tally]]:
    """In this process; what it makes of a few histories must be the same before and after."""
    before = examiner.fingerprint()
    for number, piece in enumerate(work, start=1):
        tally = examiner.examined(piece)
        if number == len(work) and examiner.fingerprint() != before:
            tally.broken.append(Broken(DETERMINISTIC, "the second time, some histories were different", {}))
        yield piece, tally


def _in_processes(subject: Subject, jobs: int, work: Sequence[Work]) -> Iterator[tuple[Work, Tally]]:
    """In processes of their own; what each of them makes of a few histories must be what this one makes of them."""
    mine = subject.examiner.fingerprint()
    context = multiprocessing.get_context("spawn")
    begin = partial(_begin, subject.protocol, subject.requests, subject.laws)
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=begin) as pool:
        pieces = {pool.submit(_examined, piece): piece for piece in work}
        try:
            for future in as_completed(pieces):
                tally, theirs = future.result()
                if theirs != mine:
                    tally.broken.append(Broken(DETERMINISTIC, "another process tells other histories", {}))
                yield pieces[future], tally
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """What a process keeps from one piece of work to the next."""

    examiner: Examiner
    fingerprint: str


def _begin(
    protocol: Protocol | str, requests: Sequence[Mapping[str, Any]] | Requests | None, laws: Sequence[Law] | str
) -> None:
    _Worker.examiner = Subject(protocol, requests, laws).examiner
    _Worker.fingerprint = _Worker.examiner.fingerprint()


def _examined(piece: Work) -> tuple[Tally, str]:
    return _Worker.examiner.examined(piece), _Worker.fingerprint
