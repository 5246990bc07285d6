"""The pages for those who come from other libraries: their code runs, and their numbers are the closed forms."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, logit

from tests.docs.test_pages import DOCS, blocks, run


@pytest.fixture(scope="module")
def chirho():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(DOCS / "chirho.md")


def of(estimate):
    return float(estimate.value.reshape(-1)[0]), float(estimate.standard_error.reshape(-1)[0])


def of_draws(draws):
    return float(draws.double().mean()), float(draws.double().std()) / draws.numel() ** 0.5


def family(way):
    """E of the disorder, with experiments as under one intervention of the family and the rest as under another."""
    of_rest, of_experiments = way
    noise = (np.arange(4_000) + 0.5) / 4_000
    total = 0.0
    for gender in (0, 1):
        conflict = np.exp(0.5 * stats.norm.ppf(noise))
        peer = expit(0.4 * conflict + 0.3 * gender - of_rest)
        tried = expit(0.5 * conflict - 0.2 * gender - 0.8 * of_experiments)
        for p, e in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = (peer if p else 1 - peer) * (tried if e else 1 - tried)
            total += 0.5 * np.mean(weight * expit(-1.5 + 0.3 * conflict + 0.2 * gender + 1.2 * p + 1.0 * e))
    return total


def learned(names):
    """The posterior mean of the effect, by conjugate Beta laws."""
    counts = {name: names["data"][name].numpy() for name in ("stress", "smokes", "cancer")}
    mean = 0.0
    for stress in (0, 1):
        for smokes, sign in ((0, -1), (1, 1)):
            ill = counts["cancer"][(counts["stress"] == stress) & (counts["smokes"] == smokes)]
            mean += 0.5 * sign * (1 + ill.sum()) / (2 + len(ill))
    return mean


def in_pairs(names):
    """The posterior mean of the effect of the classes, a normal law."""
    x, y = (names["scores"][name].double().numpy().T.ravel() for name in ("treated", "score"))
    same = np.kron(np.eye(96), np.ones((2, 2)))  # two classes of a pair share its level
    doses, scores = same + np.eye(192), 4.0 * same + np.eye(192)
    gain = np.linalg.solve(doses, 2.0 * same).T
    rest = scores - gain @ (2.0 * same)
    weight = np.linalg.solve(rest, x)
    return weight @ (y - gain @ x) / (weight @ x + 1 / 25)


def proxies(names):
    x = names["new"].double().numpy()
    log_p = [stats.norm(z, 3.0 + 2.0 * z).logpdf(x).sum() for z in (0, 1)]
    p = expit(log_p[1] - log_p[0])
    effects = [expit(3.0 * (z + 2.0)) - expit(3.0 * (z - 2.0)) for z in (0, 1)]
    return (1 - p) * effects[0] + p * effects[1]


def infected(beta, gamma, contact, end=3.0):
    """The numbers of infected on the grid, by an adaptive solver; contact falls where the function says."""

    def change(t, y):
        rate = beta * contact(t, y[1])
        return [-rate * y[0] * y[1], rate * y[0] * y[1] - gamma * y[1]]

    grid = np.arange(1, round(end / 0.1) + 1) * 0.1
    solved = integrate.solve_ivp(change, (0.0, end), [99.0, 1.0], t_eval=grid, max_step=0.02, rtol=1e-8, atol=1e-8)
    return solved.y[1]


def decided_at_steps():
    """The peak where contact depends on whether there are more than 30 infected at the last point of the grid."""
    y, highest = [99.0, 1.0], 0.0
    for step in range(30):
        contact = 0.03 * (0.25 if step and y[1] > 30.0 else 1.0)
        rates = lambda _, y, contact=contact: [-contact * y[0] * y[1], contact * y[0] * y[1] - 0.5 * y[1]]  # noqa: E731
        y = integrate.solve_ivp(rates, (0.0, 0.1), y, rtol=1e-8, atol=1e-8).y[:, -1]
        highest = max(highest, y[1])
    return highest


def in_lockdown(t, _):
    return 0.25 if 1.0 <= t < 2.0 else 1.0


def peaks(names):
    """The posterior mean of the peak, on a grid of both rates."""
    seen = {int(name.removeprefix("cases_")): value for name, value in names["cases"].items()}
    total = weights = 0.0
    for beta in 0.02 + 0.04 * (np.arange(24) + 0.5) / 24:
        for gamma in 0.2 + 0.6 * (np.arange(12) + 0.5) / 12:
            path = infected(beta, gamma, in_lockdown)
            weight = np.exp(sum(stats.poisson(path[t]).logpmf(value) for t, value in seen.items()))
            total, weights = total + weight * path.max(), weights + weight
    return total / weights


def answers(names):
    """What the page comes to, with its error, and the closed form; by question."""
    moved = logit((130.0 - 64.0) / 191.0) + 2.0
    n_peaks = float(names["peaks"].numel())
    wald = np.cov(names["rows"]["Z"], names["rows"]["Y"])[0, 1] / np.cov(names["rows"]["Z"], names["rows"]["X"])[0, 1]
    effect, spread = of(names["in_pairs"])
    bottles = names["bottles"]
    return {
        1: ((float(names["smokers"]), 1e-7), 0.8 * 0.85 + 0.2 * 0.15),
        2: (of(names["forced"]), 0.05),
        3: ((of(names["prior"])[0], of(names["prior"])[1] / 2_000**0.5), 0.0),
        4: (of_draws(names["by_lot"]), 0.475),
        5: (of(names["structure"]), 0.025),
        6: ((of(names["learned"])[0], of(names["learned"])[1] / float(names["noise"].ess) ** 0.5), learned(names)),
        7: (of_draws(names["still_ill"]), 0.8 / 0.85),
        8: (of(names["trained"]), 1.5),
        9: (of(names["direct"]), family((1, 0)) - family((0, 0))),
        10: (of(names["indirect"]), family((0, 1)) - family((0, 0))),
        11: ((of(names["slope"])[0], 0.02), wald),
        12: ((effect, spread / 2_000**0.5), in_pairs(names)),
        13: (of(names["robust"]), 1.0),
        14: (of(names["given_proxies"]), proxies(names)),
        15: ((float(names["thicker"]), 1e-4), 64.0 + 191.0 * expit(moved)),
        16: ((float(names["locked"]), 0.01), infected(0.03, 0.5, in_lockdown).max()),
        17: ((float(names["triggered"]), 0.01), decided_at_steps()),
        18: ((float(names["peaks"].mean()), float(names["peaks"].std()) / (n_peaks / 4) ** 0.5), peaks(names)),
        19: (of(names["necessary"]), 0.6),
        20: ((float(bottles["but for"]["shatters"]) - float(bottles["with the witness"]["shatters"]), 1e-7), 1.0),
    }


def test_the_answers_to_the_questions_of_chirho_are_the_closed_forms(chirho):
    """With a fixed seed; a right answer is more than 4 errors off once in 16,000 times."""
    for question, ((value, error), exact) in answers(chirho).items():
        assert abs(value - exact) <= 4 * error, question


def lines_of(block):
    """Its lines of code, as they are counted in both libraries: without empty ones, comments and imports."""
    skipped = re.compile(r"\s*($|#|import |from )")
    return sum(not skipped.match(line) for line in block.splitlines())


def test_the_table_of_answers_says_what_the_page_computes(chirho):
    """Answers to two digits of their errors, so that a seed or a rounding may move the last one shown."""
    text = (DOCS / "chirho.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (\d+) \|.*\| (\d+|-) \| (\d+) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    numbered = {int(b.strip().split()[1]): b for b in blocks(DOCS / "chirho.md") if b.strip().startswith("# ")}
    found = answers(chirho)
    assert len(table) == len(numbered) == len(found) == 20
    for number, _, lines, shown, exact in table:
        (value, error), truth = found[int(number)]
        assert int(lines) == lines_of(numbered[int(number)]), number
        assert float(shown.split(" ")[0]) == pytest.approx(value, abs=max(error, 0.006)), number
        assert float(exact) == pytest.approx(truth, abs=6e-3), number


def test_the_answers_for_those_who_come_from_pymc_and_dowhy_are_the_closed_forms():
    """Errors of tables are those of a slope; with fixed seeds, off by more once in 16,000 times."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = run(DOCS / "coming_from.md")
    assert names["slope_seen"] == pytest.approx(2.3, abs=4 * (1.2 / 1.25 / 20_000) ** 0.5)
    assert of(names["done"])[0] == pytest.approx(1.5, abs=1e-5)
    x, y, z = (names["rows"][name].double() for name in "xyz")
    precision = float(x @ x) + 0.01
    slope, spread = float(x @ (y - z)) / precision, precision**-0.5
    for draws, exact in ((names["slope"], slope), (names["person"], float(y[0]) + slope * (1 - float(x[0])))):
        assert float(draws.mean()) == pytest.approx(exact, abs=4 * float(draws.std()) / 4_000**0.5)
    assert float(names["new"]["y"].mean()) == pytest.approx(slope, abs=4 * (spread + 0.15) / 4_000**0.5)
    assert of(names["treated"]) == pytest.approx((slope, spread), abs=0.006)
    assert of(names["effect"])[0] == pytest.approx(2.0, abs=4 / 1_000**0.5)
    assert float(names["outcome"]) == pytest.approx(0.5, abs=4 / 1_000**0.5)
