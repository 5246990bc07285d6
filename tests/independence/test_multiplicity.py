"""Adjusted p-values are those of the definitions."""

import numpy as np
from hypothesis import given, settings, strategies as st
from scipy import stats

from causal_pyro_models.independence import benjamini_hochberg, holm


@settings(max_examples=100)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_adjusted_p_values_are_those_of_the_definitions(p):
    p = np.array(p)
    m, order = len(p), np.sort(p)
    steps_down = [max(min(1.0, (m - j) * order[j]) for j in range(i + 1)) for i in range(m)]
    steps_up = [min(min(1.0, order[j] * m / (j + 1)) for j in range(i, m)) for i in range(m)]
    np.testing.assert_allclose(np.sort(holm(p)), steps_down)
    np.testing.assert_allclose(np.sort(benjamini_hochberg(p)), steps_up)
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()
