"""The page on time: its numbers against forward simulation and the Kalman smoother."""

import pytest
import torch

from tests.docs.test_pages import DOCS, run


@pytest.fixture(scope="module")
def names():
    return run(DOCS / "time.md")


def test_a_loop_and_a_markov_chain_draw_the_same(names):
    assert all(torch.equal(names["looped"][name], names["chained"][name]) for name in names["looped"])


def test_a_policy_over_time_has_the_effect_of_forward_simulation(names):
    """Both are means of 100,000 draws of spread under 1.5: 0.03 is over 4 standard errors of their difference."""
    assert float(names["effect"].value) == pytest.approx(names["difference"], abs=0.03)
    assert names["basis"].identified and "P(" in str(names["basis"])


def test_the_path_of_a_unit_under_a_policy_has_its_closed_form(names):
    path, levels = names["path"], names["levels"]
    steps = names["STEPS"]
    assert levels["as it was"] == pytest.approx([path[f"L_{t}"][0] for t in range(steps + 1)], abs=1e-5)
    for name, rule in {"by the plan": lambda level: float(level > 1.0), "never": lambda level: 0.0}.items():
        assert levels[name] == pytest.approx(names["moved"](rule), abs=1e-5)
    assert max(abs(a - b) for a, b in zip(levels["by the plan"], levels["as it was"], strict=True)) > 0.5


def test_hidden_states_have_the_posterior_of_the_kalman_smoother(names):
    """Exact draws, 20,000 of spread under 0.4: 0.015 is 5 standard errors of a mean, and of a standard deviation 8."""
    assert torch.allclose(names["states"][0], names["mean"], atol=0.015)
    assert torch.allclose(names["states"][1], names["sd"], atol=0.015)
