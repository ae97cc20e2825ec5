"""What a run has to remember beside its tensors, so that a resumed one goes on as if it had never stopped."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from training.objectives.base import Batch

Ending = Literal["", "steps", "patience", "signal"]


@dataclass(kw_only=True, slots=True)
class Progress:
    """Kept as JSON in every checkpoint."""

    seconds: float = 0.0
    """Time spent training, without the pauses between two runs."""
    losses: list[float] = field(default_factory=list)
    """Of the steps since the log's last line."""
    noise_range: dict[str, list[float]] = field(default_factory=dict)
    """Smallest and largest shot_noise and read_noise met."""
    best_score: float | None = None
    """The best that held-out patches have scored."""
    best_step: int = 0
    """When they did."""
    looks_since_best: int = 0
    """Looks at them since then."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """The gradient scaler's state, empty without float16."""
    ended: Ending = ""
    """Why the run ended here, empty where it did not."""

    def meet(self, batch: Batch) -> None:
        """Widen the noise range to a batch's."""
        for name, values in (("shot_noise", batch.shot_noise), ("read_noise", batch.read_noise)):
            low, high = float(values.min()), float(values.max())
            before = self.noise_range.get(name, [low, high])
            self.noise_range[name] = [min(low, before[0]), max(high, before[1])]

    def judge(self, score: float, step: int) -> bool:
        """Take down a score of held-out patches; whether it is the best so far."""
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_step, self.looks_since_best = score, step, 0
            return True
        self.looks_since_best += 1
        return False

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Undo `to_json`; what an older checkpoint lacks begins anew."""
        known = {each.name for each in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in fields.items() if name in known})
