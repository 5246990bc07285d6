"""Random counterfactual queries, and their truth."""

from causal_pyro_models.identification import Query, term

VALUES = (0, 1)


def random_event(graph, rng, nesting=1):
    """A variable at a value, in the actual world or in one that sets up to two others, perhaps to responses."""
    name = str(rng.choice(graph.variables))
    return term(name, int(rng.choice(VALUES)), _world(graph, rng, name, nesting))


def _world(graph, rng, name, nesting):
    others = [v for v in graph.variables if v != name]
    chosen = rng.choice(others, size=min(len(others), int(rng.integers(0, 3))), replace=False)
    world = []
    for other in map(str, chosen):
        if nesting and rng.random() < 0.3:
            world.append(term(other, do=_world(graph, rng, other, nesting - 1)))
        else:
            world.append(term(other, int(rng.choice(VALUES))))
    return [action for action in world if action.do or isinstance(action.value, int)]


def random_query(graph, rng):
    """P(one to three events | none to two)."""
    outcome = [random_event(graph, rng) for _ in range(rng.integers(1, 4))]
    return Query(outcome, (), [random_event(graph, rng, nesting=0) for _ in range(rng.integers(0, 3))])
