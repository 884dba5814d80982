"""The Fréchet distance: known values, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import frechet


@given(seed=st.integers(0, 1000), size=st.integers(1, 6))
def test_is_nothing_for_the_same_and_symmetric(seed, size):
    some, others = np.random.default_rng(seed).normal(size=(2, 40, size))
    assert frechet.distance(some, some) == pytest.approx(0, abs=1e-5)
    assert frechet.distance(some, others) == pytest.approx(frechet.distance(others, some), abs=1e-5)
    assert frechet.distance(some, others) > 0


@given(seed=st.integers(0, 1000), shift=st.floats(0, 9))
def test_a_shift_counts_squared(seed, shift):
    some = np.random.default_rng(seed).normal(size=(30, 3))
    assert frechet.distance(some, some + np.array([shift, 0, 0])) == pytest.approx(shift**2, abs=1e-4)


def test_in_one_dimension_it_is_means_and_spreads():
    some = np.array([[0.0], [2.0]])  # mean 1, variance 2
    others = np.array([[0.0], [4.0]])  # mean 2, variance 8
    assert frechet.distance(some, others) == pytest.approx(1 + (np.sqrt(8) - np.sqrt(2)) ** 2)


@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (5, 4)), ((5,), (5,))])
def test_refuses_what_cannot_be_compared(shapes):
    with pytest.raises(ValueError, match="Two sets of vectors"):
        frechet.distance(*(np.zeros(shape) for shape in shapes))
