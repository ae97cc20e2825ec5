"""How many steps a budget in minutes holds, judged again and again by the steps that were just done.

A machine is shared: how long a step takes when a run begins says little about the rest of it.

In the flow: budget → first estimate (`footprint.steps_in`) → **pace** → steps of the run, and so its learning rate.
"""

from __future__ import annotations


class Pace:
    """The pace of a run's last steps, and what it means for the whole.

    >>> pace = Pace(minutes=1, done=0, seconds=0)
    >>> pace.steps_in_all(done=10, seconds=20), pace.steps_in_all(done=20, seconds=30)
    (30, 50)
    >>> pace.steps_in_all(done=21, seconds=61)
    21
    """

    def __init__(self, minutes: float, done: int, seconds: float) -> None:
        self._budget_s = 60 * minutes
        self._done, self._seconds = done, seconds

    def is_over(self, seconds: float) -> bool:
        """Whether the time is used up."""
        return seconds >= self._budget_s

    def steps_in_all(self, done: int, seconds: float) -> int:
        """How many steps the run will have when its time is over, if it goes on as since it was last asked.

        Args:
            done: Steps that are done, at least one more than when it was last asked.
            seconds: Time that has gone by.
        """
        step_s = (seconds - self._seconds) / (done - self._done)
        self._done, self._seconds = done, seconds
        return done + int(max(0.0, self._budget_s - seconds) / max(step_s, 1e-6))
