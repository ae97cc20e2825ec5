"""The curve of the loss: all of the run, however long, in few points."""

from __future__ import annotations

import itertools

import pytest

from training.finetuning.curve import MAX_POINTS, LossCurve


@pytest.mark.parametrize("steps", [1, 128, 129, 1000, 12_345])
def test_a_long_run_has_few_points_from_its_beginning_to_its_end(steps: int) -> None:
    curve = LossCurve()
    for step in range(1, steps + 1):
        curve.add(step, float(step))
    curve.end([{"step": steps, "loss": float(steps)}])
    points = curve.points()
    assert len(points) <= MAX_POINTS
    assert points[-1][0] == steps
    places = [step for step, _ in points]
    assert places == sorted(set(places))
    assert points[0][0] <= max(1, 4 * steps / MAX_POINTS)
    for (earlier, _), (later, loss) in itertools.pairwise(points):
        assert earlier < loss <= later, "the mean of the steps in between"


def test_a_run_that_is_gone_on_with_has_the_curve_of_all_of_it() -> None:
    curve = LossCurve([{"step": 20, "loss": 5.0}, {"step": 40, "loss": 4.0}])
    for step in range(41, 61):
        curve.add(step, 3.0)
    assert curve.points() == [[20, 5.0], [40, 4.0], [60, 3.0]]
