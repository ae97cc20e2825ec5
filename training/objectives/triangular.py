"""Covariances of a few channels, one in every pixel: their arithmetic, a plane of numbers at a time.

Libraries go from matrix to matrix, of which an image has a million; here each entry of all of them is one plane. None
of it is done in 16 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

Lower = list[list["Tensor"]]
"""A lower triangular matrix in every pixel: row i has i + 1 entries, each (B, h, w)."""
_SMALLEST = 1e-12
"""Of a variance; less is left by rounding alone."""


def times_own_transpose(root: Lower) -> Lower:
    """The lower half of A·Aᵀ."""
    return [[_sum([root[i][k] * root[j][k] for k in range(j + 1)]) for j in range(i + 1)] for i in range(len(root))]


def cholesky(covariance: Lower) -> Lower:
    """L of L·Lᵀ = Σ, Σ positive definite and given by its lower half."""
    factor: Lower = []
    for i, entries in enumerate(covariance):
        row: list[Tensor] = []
        for j in range(i):
            rest = _sum([entries[j], *(-row[k] * factor[j][k] for k in range(j))])
            row.append(rest / factor[j][j])
        square = _sum([entries[i], *(-entry.square() for entry in row)])
        factor.append([*row, square.clamp(min=_SMALLEST).sqrt()])
    return factor


def solve_lower(factor: Lower, right: list[Tensor]) -> list[Tensor]:
    """L⁻¹ r, for r of a plane a row."""
    solved: list[Tensor] = []
    for row, plane in zip(factor, right, strict=True):
        rest = _sum([plane, *(-entry * value for entry, value in zip(row, solved, strict=False))])
        solved.append(rest / row[-1])
    return solved


def solve_upper(factor: Lower, right: list[Tensor]) -> list[Tensor]:
    """L⁻ᵀ r."""
    solved = list(right)
    for i in reversed(range(len(factor))):
        rest = _sum([right[i], *(-factor[k][i] * solved[k] for k in range(i + 1, len(factor)))])
        solved[i] = rest / factor[i][i]
    return solved


def times(root: Lower, right: list[Tensor]) -> list[Tensor]:
    """A·r."""
    return [_sum([entry * value for entry, value in zip(row, right, strict=False)]) for row in root]


def times_transposed(root: Lower, right: list[Tensor]) -> list[Tensor]:
    """Aᵀ·r."""
    count = len(root)
    return [_sum([root[k][i] * right[k] for k in range(i, count)]) for i in range(count)]


def negative_log_normal(difference: Tensor, covariance: Lower) -> Tensor:
    """−ln N(d; 0, Σ) in every pixel, without the constant C/2 · ln 2π.

    Args:
        difference: d, (B, C, h, w).
        covariance: The lower half of Σ.

    Returns:
        (B, h, w).
    """
    factor = cholesky(covariance)
    whitened = torch.stack(solve_lower(factor, list(difference.unbind(dim=1))), dim=1)  # (B, C, h, w)
    logarithms = torch.stack([row[-1].log() for row in factor])  # (C, B, h, w)
    return 0.5 * whitened.square().sum(dim=1) + logarithms.sum(dim=0)


def _sum(planes: list[Tensor]) -> Tensor:
    """Of at least one plane."""
    return sum(planes[1:], planes[0])
