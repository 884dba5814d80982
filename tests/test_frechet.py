"""cookbook.frechet: the distance of two sets of vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from cookbook import frechet


def made(seed: int, size: int, count: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_it_is_the_formula(seed, size):
    a, b = made(seed, size), made(seed + 1, size, 80)
    one, other = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    expected = apart + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert frechet.distance(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet.distance(a, b) == pytest.approx(frechet.distance(b, a))


def test_a_set_is_no_distance_from_itself_and_moving_it_is():
    a = made(0, 5)
    assert frechet.distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet.distance(a, a + np.array([3, 0, 0, 4, 0])) == pytest.approx(25)


def test_sets_with_fewer_vectors_than_numbers_are_measured():
    assert np.isfinite(frechet.distance(made(1, 50, 10), made(2, 50, 10)))


@pytest.mark.parametrize("other", [np.zeros((5, 4)), np.zeros((1, 3)), np.zeros(3)])
def test_sets_that_do_not_match_are_refused(other):
    with pytest.raises(ValueError, match="vectors of one size"):
        frechet.distance(np.zeros((5, 3)), other)
