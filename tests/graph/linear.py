"""Linear Gaussian models of a graph, solved by matrices: what criteria for effects must agree with."""

import numpy as np


class LinearModel:
    """v = B v + e with cov(e) = omega: random coefficients on the edges of a graph, random covariances on its arcs."""

    def __init__(self, graph, seed):
        rng = np.random.default_rng(seed)
        self.index = {v: i for i, v in enumerate(graph.variables)}
        n = len(self.index)
        self.weights, omega = np.zeros((n, n)), np.zeros((n, n))
        for a, b in graph.edges:
            self.weights[self.index[b], self.index[a]] = rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
        for a, b in graph.bidirected:
            omega[self.index[a], self.index[b]] = omega[self.index[b], self.index[a]] = rng.uniform(0.3, 0.9)
        omega += np.diag(np.abs(omega).sum(1) + rng.uniform(0.3, 1.0, n))
        total = np.linalg.inv(np.eye(n) - self.weights)
        self.covariance = total @ omega @ total.T

    def effects(self, treatment, outcome):
        """The joint total effects of the treatments on each outcome, ``(outcomes, treatments)``."""
        x, y = self.at(treatment), self.at(outcome)
        cut = self.weights.copy()
        cut[x] = 0.0
        return np.linalg.inv(np.eye(len(cut)) - cut)[np.ix_(y, x)]

    def regression(self, outcome, regressors):
        """The coefficients of the outcomes on the regressors, ``(outcomes, regressors)``."""
        y, r = self.at(outcome), self.at(regressors)
        return self.covariance[np.ix_(y, r)] @ np.linalg.inv(self.covariance[np.ix_(r, r)])

    def partial(self, a, b, given):
        """cov(a, b | given)."""
        (i,), (j,), z = self.at([a]), self.at([b]), self.at(given)
        both = self.covariance[np.ix_([i, j], z)] @ np.linalg.pinv(self.covariance[np.ix_(z, z)])
        return (self.covariance[np.ix_([i, j], [i, j])] - both @ self.covariance[np.ix_(z, [i, j])])[0, 1]

    def at(self, names):
        return [self.index[v] for v in names]
