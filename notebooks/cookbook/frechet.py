"""How far apart two sets of vectors are, each taken for a Gaussian: small where samples are as good and as varied."""

import numpy as np


def distance(some: np.ndarray, others: np.ndarray) -> float:
    """The squared Fréchet distance of two sets of vectors (n, size) and (m, size) (Dowson and Landau, 1982).

    |mean - mean'|² + trace(C + C' - 2 (C C')^½) with the covariances C and C'. On the features of a picture network it
    is what papers call FID (Heusel et al., 2017). It depends on the features and shrinks as n grows, so compare only
    what has the same of both.

    Raises ValueError where the vectors differ in size, or a set has fewer than two.
    """
    some, others = (np.asarray(each, "float64") for each in (some, others))
    if some.ndim != 2 or others.ndim != 2 or some.shape[1] != others.shape[1] or min(len(some), len(others)) < 2:
        raise ValueError(f"Two sets of vectors of one size are compared, not {some.shape} and {others.shape}.")
    one, other = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (some, others))
    values, axes = np.linalg.eigh(one)
    root = axes * np.sqrt(np.maximum(values, 0)) @ axes.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()  # the trace of (C C')^½
    apart = ((some.mean(axis=0) - others.mean(axis=0)) ** 2).sum()
    return float(apart + np.trace(one) + np.trace(other) - 2 * shared)
