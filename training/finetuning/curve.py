"""The loss over all steps so far, in as many points as a plot has room for.

In the flow: training step → **curve** → progress, report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_POINTS = 128


class LossCurve:
    """Means of the loss over equally many steps each; when there are too many, pairs become one.

    Args:
        log: Lines of an earlier part of the run, with `step` and `loss`.

    >>> curve = LossCurve()
    >>> for step, loss in ((1, 4.0), (2, 2.0)):
    ...     curve.add(step, loss)
    >>> curve.points()
    [[1, 4.0], [2, 2.0]]
    """

    def __init__(self, log: Iterable[Mapping[str, Any]] = ()) -> None:
        self._points: list[tuple[int, float]] = []
        self._steps_each = 1
        self._last: list[float] = []
        for line in log:
            if not self._points:
                self._steps_each = line["step"]  # the log has its own distance between two lines
            self._append(line["step"], line["loss"])

    def add(self, step: int, loss: float) -> None:
        """The loss of one more step."""
        self._last.append(loss)
        if len(self._last) >= self._steps_each:
            self._append(step, sum(self._last) / len(self._last))
            self._last.clear()

    def end(self, log: Iterable[Mapping[str, Any]]) -> None:
        """What the whole run's log knows beyond the last point: of the last step nobody is told."""
        last = self._points[-1][0] if self._points else 0
        for line in log:
            if line["step"] > last:
                self._append(line["step"], line["loss"])

    def points(self) -> list[list[float]]:
        """Step and loss of each, oldest first; plain JSON types."""
        return [[step, round(loss, 6)] for step, loss in self._points]

    def _append(self, step: int, loss: float) -> None:
        self._points.append((step, loss))
        if len(self._points) > MAX_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=False)
            odd = self._points[-1:] if len(self._points) % 2 else []
            self._points = [(later, (first + second) / 2) for (_, first), (later, second) in pairs] + odd
            self._steps_each *= 2
