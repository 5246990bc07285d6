"""Ridge regression by evidence, against its definition."""

import torch

from causal_pyro_models.models.networks.ridge import PENALTIES, evidence_ridge


def data(n=400, noise=0.3):
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    target = columns[:, 0] - 2 * columns[:, 1] + noise * torch.randn(n, generator=generator, dtype=torch.float64)
    return columns, target


def test_it_is_the_penalised_solution_of_the_largest_evidence():
    columns, target = data()
    every = torch.arange(6)
    coefficients, taken = evidence_ridge(columns, target, [every])
    assert torch.equal(taken, every)
    found = []
    for penalty in len(target) * PENALTIES:
        solution = torch.linalg.solve(columns.T @ columns + penalty * torch.eye(6).double(), columns.T @ target)
        covariance = torch.eye(len(target)).double() + columns @ columns.T / penalty
        unexplained = target @ torch.linalg.solve(covariance, target)
        found.append((float(-0.5 * len(target) * unexplained.log() - 0.5 * torch.logdet(covariance)), solution))
    _, solution = max(found, key=lambda pair: pair[0])
    torch.testing.assert_close(coefficients, solution, rtol=1e-6, atol=1e-8)


def test_columns_that_explain_nothing_are_left_out():
    columns, target = data()
    coefficients, taken = evidence_ridge(columns, target, [torch.arange(2), torch.arange(6)])
    assert taken.tolist() == [0, 1] and not coefficients[2:].any()
    _, taken = evidence_ridge(columns, target + columns[:, 5], [torch.arange(2), torch.arange(6)])
    assert taken.tolist() == list(range(6))
