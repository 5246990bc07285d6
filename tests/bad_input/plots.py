"""What cannot be drawn."""

import numpy as np

from causal_pyro_models import CausalGraph, ate, worlds
from causal_pyro_models.errors import DataError, QueryError, UnknownVariableError
from causal_pyro_models.plots import (
    plot_counterfactual,
    plot_dose_response,
    plot_fit_history,
    plot_graph,
    plot_interventions,
    plot_marginals,
    plot_ranks,
)
from tests.bad_input.case import Bad
from tests.bad_input.programs import linear

nan = float("nan")
XY = CausalGraph.from_edges([("X", "Y")])
SEEN = {"X": [0.0, 1.0], "Y": [1.0, 1.0]}
ROWS = {"X": [0.0, 1.0, 2.5]}


def shown(factual="as it was", num_samples=None, **settings):
    result = worlds(linear, SEEN, {"as it was": {}, "X = 1": {"X": 1.0}}, num_samples=num_samples, seed=0)
    return plot_counterfactual(result, factual, **settings)


def shifted(predicted=ROWS, measured=ROWS, baseline=ROWS):
    return plot_interventions({"drug": predicted}, {"drug": measured}, baseline)


CASES = [
    Bad("a graph that is None", QueryError, ("CausalGraph", "NoneType"), lambda: plot_graph(None)),
    Bad("a graph that is a number", QueryError, ("CausalGraph", "int"), lambda: plot_graph(3)),
    Bad("a graph of nothing", DataError, ("no variables",), lambda: plot_graph(CausalGraph([], []))),
    Bad("a graph on axes that are a name", QueryError, ("ax", "Axes", "str"), lambda: plot_graph(XY, ax="here")),
    Bad("worlds that are None", QueryError, ("worlds", "NoneType"), lambda: plot_counterfactual(None, "as it was")),
    Bad("one world", QueryError, ("worlds", "Draws"), lambda: plot_counterfactual(worlds(linear, SEEN, {"a": {}})["a"], "a")),
    Bad("an unknown world", UnknownVariableError, ("world 'c'", "as it was, X = 1"), lambda: shown("c")),
    Bad("an unknown site", UnknownVariableError, ("'Q'", "X, Y"), lambda: shown(sites=["Q"])),
    Bad("a site that is a number", QueryError, ("sites", "3"), lambda: shown(sites=3)),
    Bad("no site", DataError, ("nothing to plot",), lambda: shown(sites=[])),
    Bad("a unit that is not there", DataError, ("[9]", "0 to 1"), lambda: shown(unit=9)),
    Bad("half a unit", QueryError, ("unit", "1.5"), lambda: shown(unit=1.5)),
    Bad("a unit in words", QueryError, ("unit", "'first'"), lambda: shown(unit="first")),
    Bad("a unit of None", QueryError, ("unit", "None"), lambda: shown(unit=None)),
    Bad("a unit of True", QueryError, ("unit", "True"), lambda: shown(unit=True)),
    Bad("an interval of level 95", QueryError, ("level", "95"), lambda: shown(num_samples=10, level=95)),
    Bad("a curve of None", QueryError, ("dose_response", "NoneType"), lambda: plot_dose_response(None, "Y")),
    Bad("a curve of one effect", QueryError, ("grid of numbers", "'ate'"), lambda: plot_dose_response(ate(linear, {"X": (0, 1)}, "Y", num_samples=10, seed=0), "Y")),
    Bad("the history of no training", QueryError, ("fit(model, data)", "NoneType"), lambda: plot_fit_history(None)),
    Bad("the ranks of no calibration", QueryError, ("sbc", "NoneType"), lambda: plot_ranks(None)),
    Bad("data that are None", DataError, ("observed", "NoneType"), lambda: plot_marginals(None, ROWS)),
    Bad("data with NaN", DataError, ("sampled", "['X']", "NaN", "drop"), lambda: plot_marginals(ROWS, {"X": [0.0, nan]})),
    Bad("data without rows", DataError, ("observed", "rows"), lambda: plot_marginals({"X": []}, ROWS)),
    Bad("data of unequal length", DataError, ("observed", "'X': 2", "'Y': 1"), lambda: plot_marginals({"X": [0.0, 1.0], "Y": [0.0]}, ROWS)),
    Bad("data of one number", DataError, ("observed", "'X'", "1.0"), lambda: plot_marginals({"X": 1.0}, ROWS)),
    Bad("data in a matrix", DataError, ("observed", "'X'"), lambda: plot_marginals({"X": np.zeros((3, 2))}, ROWS)),
    Bad("data in a ragged list", DataError, ("observed", "'X'"), lambda: plot_marginals({"X": [[0.0], [0.0, 1.0]]}, ROWS)),
    Bad("data in words", DataError, ("observed", "labels", "numbers", "'X'"), lambda: plot_marginals({"X": ["a", "b"]}, ROWS)),
    Bad("data of complex numbers", DataError, ("observed", "complex", "['X']"), lambda: plot_marginals({"X": [1j, 2.0]}, ROWS)),
    Bad("data of other variables", DataError, ("share no variable", "['X']", "['Y']"), lambda: plot_marginals(ROWS, {"Y": [0.0, 1.0]})),
    Bad("units of measurement that are None", QueryError, ("units", "None"), lambda: plot_marginals(ROWS, ROWS, units=None)),
    Bad("interventions in a list", DataError, ("predicted", "dict", "list"), lambda: plot_interventions([ROWS], [ROWS], ROWS)),
    Bad("interventions that nobody measured", DataError, ("measured", "dict", "NoneType"), lambda: plot_interventions({"drug": ROWS}, None, ROWS)),
    Bad("an intervention that nobody measured", UnknownVariableError, ("'drug'", "diet"), lambda: plot_interventions({"drug": ROWS}, {"diet": ROWS}, ROWS)),
    Bad("a baseline of one row", DataError, ("baseline", "single row"), lambda: shifted(baseline={"X": [1.0]})),
    Bad("a measurement of one row", DataError, ("measured['drug']", "single row"), lambda: shifted(measured={"X": [1.0]})),
    Bad("a constant baseline", DataError, ("['X']", "constant", "leave them out"), lambda: shifted(baseline={"X": [1.0, 1.0]})),
    Bad("interventions on other variables", DataError, ("share no variable", "['Y']"), lambda: shifted(predicted={"Y": [0.0, 1.0]})),
]  # fmt: skip
