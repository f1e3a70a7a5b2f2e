"""Ordinary least squares, for a model with few terms. Knows nothing of what is measured."""

import dataclasses
import statistics


@dataclasses.dataclass
class Fit:
    """A linear model of values: a coefficient for each term."""

    coefficients: list
    # Each value less what the model says.
    residuals: list
    # R²: the part of the values' variance that the model has.
    determined: float


def least_squares(rows, values):
    """Fits values to rows of terms; there are at least as many rows as terms."""
    terms = range(len(rows[0]))
    # The normal equations, with what they are to give as the last column.
    equations = [
        [sum(row[one] * row[other] for row in rows) for other in terms]
        + [sum(row[one] * value for row, value in zip(rows, values))]
        for one in terms]
    coefficients = solve(equations)
    residuals = [value - sum(term * coefficient for term, coefficient in zip(row, coefficients))
                 for row, value in zip(rows, values)]
    mean = statistics.mean(values)
    variance = sum((value - mean) ** 2 for value in values)
    unexplained = sum(residual ** 2 for residual in residuals)
    return Fit(coefficients, residuals, 1 - unexplained / variance if variance else 1.0)


def solve(equations):
    """The solution of linear equations, by elimination with the largest pivot."""
    size = len(equations)
    equations = [row[:] for row in equations]
    for at in range(size):
        best = max(range(at, size), key=lambda row: abs(equations[row][at]))
        equations[at], equations[best] = equations[best], equations[at]
        for row in range(size):
            if row != at:
                factor = equations[row][at] / equations[at][at]
                equations[row] = [one - factor * other
                                  for one, other in zip(equations[row], equations[at])]
    return [equations[at][size] / equations[at][at] for at in range(size)]
