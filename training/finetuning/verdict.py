"""Whether the candidate is better than the model it came from, and why, in words for a photographer.

It is better only if the first judge that could be asked is sure of it: the lower end of its 95 % interval lies above a
small margin. And nothing may speak against it: a shift of brightness, noise that cannot be judged by, a second judge
of another opinion.

In the flow: judgement → **verdict** → report, default model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from training.finetuning.character import Character, correlation_warning
from training.raw.bayer import CHANNELS

if TYPE_CHECKING:
    from training.finetuning.judge import Judgement, JudgeName

MARGINS: dict[str, float] = {"second frame": 0.05, "recorrupted": 0.1}
"""Decibels. Less than the first is not worth another model; recorrupted copies rest on a noise model, too, which is
known to some percent."""
MAX_SHIFT = 0.001
"""Of full scale: the brightness that Photosite promises to keep. It corrects what a network shifts; one that needs that
more than its base did has learned something wrong."""
MIN_TILES = 24
_WORDS: dict[JudgeName, str] = {
    "second frame": "against the other frame of the same scene",
    "recorrupted": "against noisy copies of the captures' held-out parts",
    "twice the noise": "at twice the captures' noise",
    "stein": "by Stein's estimate",
    "neighbours": "against neighbouring pixels",
}


class Verdict(NamedTuple):
    """What comes of it."""

    better: bool
    judge: JudgeName
    """Who decided."""
    reasons: tuple[str, ...]
    """Sentences: first what was measured, then what speaks against the candidate."""


def decide(judgement: Judgement, character: Character) -> Verdict:
    """Weigh what was measured."""
    judge = first_judge(judgement)
    gain, tiles = judgement.gains[judge]
    measured = (
        f"{_WORDS[judge]} the new model is {abs(gain.db):.2f} dB {'better' if gain.db >= 0 else 'worse'} than the one"
        f" it came from (95 % interval {gain.low:+.2f} to {gain.high:+.2f} dB, {tiles} tiles)"
    )
    against = _objections(judgement, character, judge)
    return Verdict(not against, judge, (measured, *against))


def first_judge(judgement: Judgement) -> JudgeName:
    """The most trustworthy one that saw enough."""
    pairs = judgement.gains.get("second frame")
    return "second frame" if pairs and pairs.tiles >= MIN_TILES else "recorrupted"


def _objections(judgement: Judgement, character: Character, judge: JudgeName) -> list[str]:
    """What speaks against the candidate, in sentences; none where nothing does."""
    gain, tiles = judgement.gains[judge]
    found = []
    margin = MARGINS[judge]
    if gain.low <= margin:
        found.append(
            f"that is not surely more than {margin:g} dB: the captures hold little that the model did not know"
        )
    if tiles < MIN_TILES:
        found.append(
            f"only {tiles} tiles could be judged, and {MIN_TILES} are wanted: more or larger captures would tell"
        )
    for name, shift, before in zip(CHANNELS, judgement.mean_shift, judgement.base_shift, strict=True):
        if abs(shift) > max(MAX_SHIFT, abs(before)) + 3 * judgement.shift_error:
            found.append(f"its network shifts the brightness of {name} by {100 * shift:+.2f} % of full scale")
    if judge != "second frame" and correlation_warning(character.correlation):
        found.append(
            "the noise is not independent from pixel to pixel, and without two frames of one scene nobody can tell"
        )
    stein = judgement.gains["stein"].gain
    if judge == "recorrupted" and character.tail is None and stein.high < 0:
        found.append(f"Stein's estimate says the opposite ({stein.db:+.2f} dB)")
    return found
