"""The register of cases. A module registers its own by `@case(name, …)` and `table(…)`.

`needs`: features of the kernel that the comparison needs (run.py probes them).
"""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    run: typing.Callable
    needs: tuple = ()
    listener: bool = True


CASES = {}


def case(name, needs=(), listener=True):
    def register(function):
        if name in CASES:
            raise ValueError(f"two cases are called {name}")
        CASES[name] = Case(name, function, tuple(needs), listener)
        return function
    return register


def table(prefix, kind, rows, needs=(), flags=None, before=None):
    """A case for each row {label: body}: one request of `kind`."""
    for label, body in rows.items():
        def run(c, body=body):
            if before is not None:
                before(c)
            c.ask(kind, body() if callable(body) else body, **({} if flags is None else
                                                               {"flags": flags}))
        case(f"{prefix}.{label}", needs)(run)
