"""Potential responses: what a variable is in a world, with only those interventions that it can feel."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expressions.expression import Term, Value


@dataclass(frozen=True, eq=False)
class Response:
    """A potential response V_pa: a variable with each parent at a value, or at what another response comes to.

    Two responses of one variable whose inputs are alike are one object; see :class:`Responses`.

    Args:
        name: the variable.
        parents: its parents in the graph.
        inputs: for each parent the value it is set to or seen at, or the response that it takes its value from.
    """

    name: str
    parents: tuple[str, ...]
    inputs: tuple["Input", ...]

    @property
    def sources(self) -> Iterator["Response"]:
        """The responses that this one takes an input from."""
        return (found for found in self.inputs if isinstance(found, Response))

    @property
    def family(self) -> Iterator[tuple[str, "Input"]]:
        """Each parent with what it is."""
        return zip(self.parents, self.inputs, strict=True)


Input = Value | Response
"""What a variable is in a world: a value that it is set to or seen at, or a response."""
World = dict[str, Input]
"""What is known of a world so far: at first what its interventions set."""
UNSEEN: Mapping[Response, Value] = MappingProxyType({})


class Responses:
    """The responses of one graph, each made once, so that those which are equal for every unit are one object.

    Worlds that do not differ for a variable share its response: an intervention that the variable cannot feel is no
    input of it or of its ancestors. A nested counterfactual is an intervention that sets a variable to a response.

    Args:
        graph: an acyclic directed mixed graph.

    References:
        Shpitser and Pearl (2008), Complete identification methods for the causal hierarchy, lemma 24; Correa, Lee and
        Bareinboim (2021), Nested counterfactual identification from arbitrary surrogate experiments, theorem 1.

    Example:
        >>> from causal_pyro_models.identification import term
        >>> responses = Responses(CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("W", "Y")]))
        >>> treated, both = responses.world([term("X", 1)]), responses.world([term("X", 1), term("W", 0)])
        >>> responses.find("M", treated) is responses.find("M", both)
        True
        >>> responses.find("Y", treated) is responses.find("Y", both)
        False
        >>> nested = responses.world([term("M", do=[term("X", 1)])])
        >>> responses.find("Y", nested) is responses.find("Y", treated)
        True
    """

    def __init__(self, graph: CausalGraph) -> None:
        self.graph = graph
        self._made: dict[tuple[str, tuple[Input, ...]], Response] = {}

    def world(self, do: Iterable[Term], seen: Mapping[Response, Value] = UNSEEN) -> World:
        """The world in which some variables are set: each to a value, or to what it is in a world of its own.

        Args:
            do: the interventions.
            seen: responses whose values are known.
        """
        return {a.name: self.find(a.name, self.world(a.do, seen), seen) if a.do else a.value for a in do}

    def find(self, name: str, world: World, seen: Mapping[Response, Value] = UNSEEN) -> Input:
        """What a variable is in a world, to which all that this takes is added.

        Args:
            name: the variable.
            world: see :meth:`world`.
            seen: responses whose values are known, which stand in their place.
        """
        if name not in world:
            parents = self.graph.parents(name)
            inputs = tuple(self.find(parent, world, seen) for parent in parents)
            world[name] = self._made.setdefault((name, inputs), Response(name, parents, inputs))
        found = world[name]
        return seen.get(found, found) if isinstance(found, Response) else found

    def ancestry(self, responses: Iterable[Response]) -> tuple[Response, ...]:
        """Some responses and all that they depend on, causes before effects."""
        found = set(responses)
        waiting = list(found)
        while waiting:
            fresh = set(waiting.pop().sources) - found
            found |= fresh
            waiting += fresh
        made = {response: i for i, response in enumerate(self._made.values())}
        return tuple(sorted(found, key=lambda response: (self.position[response.name], made[response])))

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each variable stands in the topological order."""
        return {v: i for i, v in enumerate(self.graph.topological_order)}
