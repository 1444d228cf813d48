"""Every failure of HABSIM, in one tree.

HabsimError
├── BadRequestError            the caller's value is wrong; the message has the value and the limit
│   └── OutsideCycleError      the flight needs winds before the first or after the last time of the cycle
├── NotSignedInError           who asks is not known, or no longer
├── ForbiddenError             who asks is known and may not do it
├── NotFoundError              no such cycle, member, prediction, user or simulation
├── ConflictError              it does not go with what is there already
├── DatabaseError              the database does not answer, or refuses to work
├── BusyError                  too much at once; try again after `retry_after_seconds`
├── UnavailableError           nothing to fly on at the moment; the message says what to do
│   └── CycleChangedError      the cycle that a job began with is gone, or was published anew
├── JobLostError               the job is no longer that of the worker that computes it
├── WindFileError              a wind file is damaged, inconsistent or changed under the reader
│   └── NotResidentError       the winds asked for are not on this machine yet; carries the tiles to fetch
├── ElevationError             a ground elevation file is damaged or inconsistent
├── ConversionError            a GRIB2 file cannot become a wind file
├── SourceError                the server of forecasts does not give what is needed
│   ├── AbsentError            a file is not there, or not yet
│   ├── InventoryError         an inventory is damaged, or is not that of its file
│   └── SourceChangedError     a file was replaced while it was read
├── StoppedError               the work was stopped from outside
├── BucketError                a bucket cannot be read or written
│   └── ObjectChangedError     an object was replaced while it was read
└── FlightError                the integration failed; carries the position
    └── GroundedError          a gas balloon does not leave the ground
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class HabsimError(Exception):
    """Base of all failures. `details` goes to the caller as it is."""

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        # Some take more than their text, which an exception does not keep: they come from other processes too.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[HabsimError], args: tuple[Any, ...], state: dict[str, Any]) -> HabsimError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class BadRequestError(HabsimError):
    """A value the caller gave is wrong."""


class OutsideCycleError(BadRequestError):
    """A flight needs winds outside the times of the cycle."""


class NotSignedInError(HabsimError):
    """Who asks is not known: no token, or one that is not valid or no longer."""


class ForbiddenError(HabsimError):
    """Who asks may not do it."""


class NotFoundError(HabsimError):
    """There is no such cycle, member, prediction, user or simulation; or not for who asks."""


class ConflictError(HabsimError):
    """What is asked does not go with what is there already."""


class DatabaseError(HabsimError):
    """The database does not answer, or refuses to work; nothing was changed."""


class BusyError(HabsimError):
    """All slots are taken."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message, {"retry_after_seconds": retry_after_seconds})
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(HabsimError):
    """Nothing can be flown at the moment."""


class CycleChangedError(UnavailableError):
    """The cycle that a job began with is gone, or was published anew: the job must begin again."""


class JobLostError(HabsimError):
    """The job is no longer this worker's: it was cancelled or deleted, or its lease ran out."""


class WindFileError(HabsimError):
    """A wind file is damaged, inconsistent or has changed under the reader."""


class NotResidentError(WindFileError):
    """The winds asked for are not on this machine. `wanted` uint8, not 0 for each tile of `Tiles` that is needed."""

    def __init__(self, message: str, wanted: npt.NDArray[np.uint8]) -> None:
        super().__init__(message)
        self.wanted = wanted


class ElevationError(HabsimError):
    """A ground elevation file is damaged or inconsistent."""


class ConversionError(HabsimError):
    """A GRIB2 file cannot be turned into a wind file."""


class SourceError(HabsimError):
    """The server of forecasts does not answer, or what it has is not what is needed."""


class AbsentError(SourceError):
    """A file is not on the server, or not yet."""


class InventoryError(SourceError):
    """An inventory on the server is damaged, incomplete or not that of its file."""


class SourceChangedError(SourceError):
    """A file on the server was replaced while it was read."""


class StoppedError(HabsimError):
    """The work was stopped from outside before it was done."""


class BucketError(HabsimError):
    """A bucket cannot be read or written."""


class ObjectChangedError(BucketError):
    """An object of a bucket was replaced while it was read."""


class FlightError(HabsimError):
    """A flight cannot be integrated further.

    `time` is Unix seconds, `latitude` and `longitude` degrees, `altitude` metres: the last good position.
    """

    def __init__(self, message: str, time: float, latitude: float, longitude: float, altitude: float) -> None:
        where = {"time": time, "latitude": latitude, "longitude": longitude, "altitude": altitude}
        super().__init__(message, where)


class GroundedError(FlightError):
    """A gas balloon cannot lift what it carries, or bursts where it is launched or at float."""
