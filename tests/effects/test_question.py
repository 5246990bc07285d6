"""How effects are asked for: one order of arguments, one set of keywords with one set of defaults, checked once."""

import inspect
import pydoc
from dataclasses import MISSING, fields
from typing import Unpack, get_type_hints

import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import effects
from causal_pyro_models.effects import Options
from causal_pyro_models.effects.queries import BOUNDS
from causal_pyro_models.effects.question import Question
from causal_pyro_models.errors import QueryError

VERBS = {name: getattr(effects, name) for name in effects.__all__ if name != "Options"}
FOURTH = {"cde": "mediators", "nde": "mediators", "nie": "mediators", "path_specific": "paths"}


def model():
    x = pyro.sample("X", dist.Bernoulli(0.5))
    m = pyro.sample("M", dist.Bernoulli(0.2 + 0.5 * x))
    pyro.sample("Y", dist.Bernoulli(0.2 + 0.3 * x + 0.2 * m))


@pytest.mark.parametrize("name", VERBS)
def test_one_order_of_arguments(name):
    kinds = {p.name: p.kind for p in inspect.signature(VERBS[name]).parameters.values()}
    positional = [n for n, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert positional == ["model", "treatment", "outcome", *filter(None, [FOURTH.get(name)])]
    assert kinds["options"] is inspect.Parameter.VAR_KEYWORD
    assert get_type_hints(VERBS[name])["options"] == Unpack[Options]
    assert not {*kinds} & {*Options.__annotations__}


@pytest.mark.parametrize("name", VERBS)
def test_help_is_readable(name):
    """The signature fits in two lines, whatever the types stand for; the docstring says where the keywords are."""
    text = pydoc.render_doc(VERBS[name], renderer=pydoc.plaintext)
    signature = text.splitlines()[2]
    assert len(signature) < 240 and "'Unpack[Options]'" in signature
    assert "Options`" in text or "options: see" in text


def test_every_keyword_has_one_default():
    defaults = {field.name: field.default for field in fields(Question) if field.default is not MISSING}
    assert {*defaults} == {*Options.__annotations__} == Options.__optional_keys__
    assert defaults["seed"] is None and defaults["level"] == 0.95
    assert all(f"        {name}: " in Options.__doc__ for name in defaults)
    plain = effects.ate(model, {"X": (0, 1)}, "Y", num_samples=50, seed=0)
    spelt = effects.ate(model, {"X": (0, 1)}, "Y", **{**defaults, "num_samples": 50, "seed": 0})
    assert torch.equal(plain.draws, spelt.draws)


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize(
    ("keyword", "says"),
    [("sede", r"has no argument 'sede'\. Did you mean 'seed'\?"), ("xyzzy", r"'xyzzy'\. The arguments are: model,")],
)
def test_a_keyword_that_there_is_not_is_named(name, keyword, says):
    fourth = {"mediators": {"M": 0.0}, "paths": [("X", "Y")]}
    more = [fourth[FOURTH[name]]] if name in FOURTH else []
    with pytest.raises(QueryError, match=f"^{VERBS[name].__name__} .*{says}|^{VERBS[name].__name__} {says}"):
        VERBS[name](model, {"X": (0.0, 1.0)}, "Y", *more, **{keyword: 1})


def test_a_bad_seed_or_keyword_is_refused_before_the_model_runs():
    def never():
        raise AssertionError("the model ran")

    for options in ({"seed": -1}, {"sed": 1}):
        with pytest.raises(QueryError):
            effects.ate(never, {"X": (0.0, 1.0)}, "Y", **options)


def test_every_verb_says_what_bounds_there_are():
    assert {verb.__name__ for verb in VERBS.values()} == {*BOUNDS}
