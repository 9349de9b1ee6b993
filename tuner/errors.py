"""Everything the tuner package raises on purpose; each message is a sentence for the person who meets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from model.errors import ModelError

T = TypeVar("T")


class TunerError(Exception):
    """Base class of the family. The command line prints it and exits with 2; the service answers 4xx."""


class SpaceError(TunerError, ValueError):
    """A search space that can't be used, with the place and the way out.

    Attributes:
        file: name of the params file, or None for a space that came as JSON.
        line, column: 1-based position, or None when the error belongs to the whole file.
        problem: what is wrong, naming the value.
        fix: what to write instead.
    """

    def __init__(
        self,
        problem: str,
        fix: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        self.file, self.line, self.column, self.problem, self.fix = file, line, column, problem, fix
        place = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(f"{place}: {problem} {fix}" if place else f"{problem} {fix}")

    @property
    def every(self) -> tuple[SpaceError, ...]:
        """All errors that this one stands for, in the order of the file: itself, unless it is a `SpaceErrors`."""
        return (self,)


class SpaceErrors(SpaceError):
    """Several things that are wrong with one search space; place, problem and fix are the first one's.

    The text has a line for each.
    """

    # Whoever has so many has the wrong file, or one mistake so many times.
    MOST = 20

    def __init__(self, every: Sequence[SpaceError]) -> None:
        first = every[0]
        super().__init__(first.problem, first.fix, file=first.file, line=first.line, column=first.column)
        self._every = tuple(every[: self.MOST])
        lines = [str(error) for error in self._every]
        if len(every) > self.MOST:
            lines.append(f"These are the first {self.MOST}; mend them to see the others.")
        self.args = ("\n".join(lines),)

    @property
    def every(self) -> tuple[SpaceError, ...]:
        return self._every


def raise_all(errors: Sequence[SpaceError]) -> None:
    """Raise what is in ``errors``: nothing, the one, or all of them as one."""
    if len(errors) > 1:
        raise SpaceErrors(errors)
    if errors:
        raise errors[0]


class SpecificationError(TunerError, ValueError):
    """A study specification that can't be run; nothing was created."""


class SpecificationErrors(SpecificationError):
    """Several things that are wrong with one study.

    Attributes:
        every: each of them.
    """

    def __init__(self, every: Sequence[Exception]) -> None:
        self.every = tuple(every)
        listed = " ".join(f"({place}) {problem}" for place, problem in enumerate(every, start=1))
        super().__init__(f"{len(every)} things stand in the way of every trial. {listed}")


class Problems:
    """What is wrong with a study, gathered so that all of it can be said at once.

    Attributes:
        found: errors for people, in the order of their discovery.
    """

    def __init__(self) -> None:
        self.found: list[ModelError | TunerError] = []

    def gather(self, step: Callable[[], T]) -> T | None:
        """What the step returns; None, and its error among those found, where it complains."""
        try:
            return step()
        except SpecificationErrors as several:
            self.found += [error for error in several.every if isinstance(error, ModelError | TunerError)]
        except (ModelError, TunerError) as error:
            self.found.append(error)
        return None

    def raise_found(self) -> None:
        """Raise what was found: nothing, the one thing, or all of them as one."""
        different = list({str(error): error for error in self.found}.values())
        if len(different) == 1:
            raise different[0]
        if different:
            raise SpecificationErrors(different)


class FormatUnavailable(TunerError):
    """A file format whose library is not installed here."""


class StudyExists(TunerError):
    """The name is taken; studies are never overwritten."""


class StudyNotFound(TunerError):
    """There is no study of that name or id."""


class TrialNotFound(TunerError):
    """The study has no trial of that number."""


class WeightsNotKept(TunerError):
    """A trial's checkpoint is asked for that is not there, or not any more."""


class StudyStateError(TunerError):
    """The study's state does not allow what was asked."""


class DatabaseError(TunerError):
    """The database can't be reached, is newer than this program, or can't be written."""


class TokenExists(TunerError):
    """The token's name is taken."""


class TokenNotFound(TunerError):
    """There is no token of that name in force."""


class SettingsError(TunerError):
    """A TUNER_* setting is unusable."""


class WrongStore(TunerError):
    """The artifact folder is not the database's."""


class StoreAway(TunerError):
    """The database's artifact folder is not there just now."""
