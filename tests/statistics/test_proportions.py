"""Wilson's interval and means of intervals, against references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binomtest, t
from statsmodels.stats.proportion import proportion_confint

from braintumor.statistics.proportions import correlations, mean_interval, upper_limit, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (1290, 1311), (1, 1)])
def test_wilson_is_that_of_scipy_and_of_statsmodels(right, n):
    found = wilson(right, n)
    scipys = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert found == pytest.approx((scipys.low, scipys.high), abs=1e-12)
    theirs = proportion_confint(right, n, alpha=0.05, method="wilson")
    assert found == pytest.approx(theirs, abs=1e-12)


def test_wilson_of_newcombes_examples():
    # Newcombe 1998, Stat. Med. 17:857-872, table I, method 3
    for right, n, low, high in [
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
    ]:  # fmt: skip
        assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_nothing_is_undefined():
    assert np.isnan(wilson(0, 0)).all()


def test_independent_figures_add_their_reaches_by_squares() -> None:
    limits = np.array([[0.5, 0.9], [0.6, 1.0]])
    found = mean_interval(np.array([0.8, 0.9]), limits, np.eye(2))
    assert found == pytest.approx((0.85 - np.hypot(0.3, 0.3) / 2, 0.85 + np.hypot(0.1, 0.1) / 2))
    together = mean_interval(np.array([0.8, 0.9]), limits, np.ones((2, 2)))
    assert together == pytest.approx((0.55, 0.95))
    opposed = mean_interval(np.array([0.8, 0.9]), limits, np.array([[1.0, -1], [-1, 1]]))
    assert opposed == pytest.approx((0.85, 0.85))
    assert np.isnan(mean_interval(np.array([]), np.empty((0, 2)), np.empty((0, 0)))).all()


def test_a_row_without_spread_is_correlated_with_none() -> None:
    rows = np.array([[1.0, -1, 0], [2, -2, 0], [0, 0, 0], [-1, 1, 0]])
    expected = [[1, 1, 0, -1], [1, 1, 0, -1], [0, 0, 1, 0], [-1, -1, 0, 1]]
    assert correlations(rows) == pytest.approx(np.array(expected, float))


@pytest.mark.parametrize(("ones", "n"), [(0, 149), (3, 40), (39, 40)])
def test_upper_limit_of_single_images_is_the_exact_one(ones: int, n: int) -> None:
    values = np.arange(n) < ones
    exact = binomtest(ones, n).proportion_ci(0.9, method="exact").high  # 95 % from one side
    assert upper_limit(values.astype(float), np.arange(n), 0.95) == pytest.approx(exact)


def test_upper_limit_of_groups_is_that_of_korn_and_graubard() -> None:
    # 8 groups of 5 images; in two of them all are 1, so p = .25
    values, groups = np.repeat([1.0, 1, 0, 0, 0, 0, 0, 0], 5), np.repeat(np.arange(8), 5)
    residuals = 5 * (np.array([1, 1, 0, 0, 0, 0, 0, 0]) - 0.25)
    variance = 8 / 7 * (residuals**2).sum() / 40**2
    design = variance / (0.25 * 0.75 / 39)
    n = 40 / design * (t.ppf(0.95, 39) / t.ppf(0.95, 7)) ** 2
    expected = beta.ppf(0.95, 0.25 * n + 1, 0.75 * n)
    assert upper_limit(values, groups, 0.95) == pytest.approx(expected)
    assert upper_limit(values, np.arange(40), 0.95) < expected


def test_upper_limit_where_all_or_none_are_there_is_one() -> None:
    assert upper_limit(np.ones(5), np.arange(5), 0.95) == 1
    assert upper_limit(np.empty(0), np.empty(0, int), 0.95) == 1
