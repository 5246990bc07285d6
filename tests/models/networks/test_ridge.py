"""Ridge regression by evidence, against its definition."""

import pytest
import torch

from causal_pyro_models.models.networks.ridge import PENALTIES, again, evidence_ridge, grouped_ridge, moments


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


def test_penalties_of_groups_are_where_the_evidence_is_largest():
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(300, 13, generator=generator, dtype=torch.float64)
    weights = torch.cat([torch.ones(1), torch.randn(6, generator=generator), 0.1 * torch.randn(6, generator=generator)])
    target = columns @ weights.double() + torch.randn(300, generator=generator, dtype=torch.float64)
    groups = [torch.arange(1, 7), torch.arange(7, 13)]
    data = moments(columns, target)
    fit = grouped_ridge(data, groups)

    def evidence(factors):
        penalties = fit.penalties.clone()
        for group, factor in zip(groups, factors, strict=True):
            penalties[group] *= factor
        inner = data.gram + penalties.diag()
        unexplained = data.total - data.moment @ torch.linalg.solve(inner, data.moment)
        return float(-150.0 * unexplained.log() - 0.5 * torch.logdet(inner) + 0.5 * penalties.log().sum())

    assert fit.evidence == pytest.approx(evidence((1.0, 1.0)))
    for factors in ((1.5, 1.0), (1 / 1.5, 1.0), (1.0, 1.5), (1.0, 1 / 1.5)):
        assert evidence(factors) < fit.evidence
    assert float(fit.penalties[8] / fit.penalties[2]) > 10.0
    torch.testing.assert_close(
        fit.coefficients, torch.linalg.solve(data.gram + fit.penalties.diag(), data.moment), rtol=1e-8, atol=1e-10
    )


def test_a_second_fit_undoes_most_of_the_shrinkage():
    columns, target = data(noise=0.0)
    fit = grouped_ridge(moments(columns, target), [torch.arange(6)])
    shrunk = fit._replace(penalties=torch.full((6,), 100.0).double())
    gram = columns.T @ columns
    shrunk = shrunk._replace(coefficients=torch.linalg.solve(gram + 100.0 * torch.eye(6).double(), columns.T @ target))
    truth = torch.tensor([1.0, -2.0, 0.0, 0.0, 0.0, 0.0]).double()
    before = shrunk.coefficients - truth
    torch.testing.assert_close(
        again(moments(columns, target), shrunk) - truth,
        torch.linalg.solve(gram + 100.0 * torch.eye(6).double(), 100.0 * before),
        rtol=1e-6,
        atol=1e-9,
    )
