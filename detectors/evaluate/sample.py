"""What detectors are judged on: repetitions of one stream, side by side."""

from dataclasses import dataclass
from typing import Literal

from detectors.arrays import FloatArray

Kind = Literal["errors", "values"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Independent repetitions of a stream.

    Parameters
    ----------
    name
        Of the stream.
    kind
        "errors": 0 or 1, where more of them is what is looked for. "values": any number, where any change is.
    values
        Shape (R, T): a row is a repetition, in the order of events.
    n_reference
        Events at the start of each row that are known to be sound. All detectors read them; none is judged on them.
    change
        Position at which the change begins; None for a stream in which nothing changes.
    cell
        Events in a cell: what the inflation of the reference is estimated from.
    cells_per_cycle
        Cells in a season that the user declares; 1 without one.
    """

    name: str
    kind: Kind
    values: FloatArray
    n_reference: int
    change: int | None = None
    cell: int = 50
    cells_per_cycle: int = 1

    @property
    def n_runs(self) -> int:
        """R, the repetitions."""
        return int(self.values.shape[0])

    @property
    def n_watched(self) -> int:
        """Events of a repetition after the reference."""
        return int(self.values.shape[1]) - self.n_reference
