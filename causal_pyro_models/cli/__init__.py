"""The command ``causal-pyro``: arguments, the stages of a run, its report. Nothing heavy is imported before it runs.

Whatever a program could call as well belongs in the rooms below.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from causal_pyro_models import __version__
from causal_pyro_models.errors import CausalError

DESCRIPTION = """\
Fit a causal flow to data, check it against rows it has not seen, and answer what would happen, and what would have
happened, under an intervention. Writes report.md with tables and plots, and posterior.nc with the posterior draws.

Without --data, it does so for the bundled protein-signalling data of Sachs et al. (2005), and compares predicted
interventions with cells that were really intervened on."""

EXAMPLE = """\
example:
  causal-pyro run --data cells.csv --graph cells.dot --do PKA=2.0 --control PKA=0.0 --outcome Erk

A graph file is DOT (digraph { A -> B }), GML, dagitty (dag { A -> B }), or a list of edges, one "A -> B" to a line.
Numbers in a table are taken on their own scale; columns of two values, of strings, or of up to ten integers are
discrete, and their labels are given as they stand in the table (--do group=treated)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 2 for a mistake in what was given, 130 where interrupted.

    Args:
        argv: the arguments after the name of the command; None takes those of the process.

    Raises:
        SystemExit: with code 2 for options that cannot be parsed, with 0 after ``--help`` and ``--version``.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    _check_together(options)
    try:
        from causal_pyro_models.cli.run import run

        run(options)
    except (CausalError, OSError) as error:
        print(f"causal-pyro: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        report = options.out / "report.md"
        kept = f" What was finished is in {report}." if report.exists() else ""
        print(f"\ncausal-pyro: interrupted.{kept}", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"causal-pyro: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("causal-pyro", description="Causal generative models on Pyro.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter
    run = commands.add_parser(
        "run", help="from data to a report", description=DESCRIPTION, epilog=EXAMPLE, formatter_class=raw
    )
    own = run.add_argument_group("your own data (all four together)")
    own.add_argument("--data", type=Path, metavar="FILE", help="a table, .csv (also .csv.gz) or .parquet")
    own.add_argument("--graph", type=Path, metavar="FILE", help="its causal graph")
    own.add_argument(
        "--do", action="append", metavar="NAME=VALUE", help="what to set a variable to; repeat it to set several"
    )
    own.add_argument("--outcome", action="append", metavar="NAME", help="the variable to ask about; may be repeated")
    own.add_argument(
        "--control", action="append", metavar="NAME=VALUE", help="what to compare with, beside the regime as observed"
    )
    run.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where to write (default: out)")
    run.add_argument("--seed", type=int, default=0, metavar="N", help="of all randomness (default: 0)")
    run.add_argument("--steps", type=int, default=300, metavar="N", help="training steps of the model (default: 300)")
    run.add_argument(
        "--refits", type=int, default=12, metavar="N", help="refits on random halves, for intervals (default: 12)"
    )
    run.set_defaults(parser=run)
    return parser


def _check_together(options: argparse.Namespace) -> None:
    """Refuse a question about a table that is not fully given."""
    given = {name: getattr(options, name) is not None for name in ("data", "graph", "do", "outcome")}
    if (any(given.values()) or options.control) and not all(given.values()):
        missing = ", ".join(f"--{name}" for name, there in given.items() if not there)
        options.parser.error(f"your own data need --data, --graph, --do and --outcome together; missing: {missing}")
