"""The cases, in the order of the way from the NAS to the cloud."""
from dataclasses import dataclass, field
from typing import Callable

CASES = {}


@dataclass
class Case:
    script: Callable
    # The doctor names one of these first; none: it has nothing to name.
    doctor: set = field(default_factory=set)
    # The doctor names it, but not first: it is no trouble.
    anywhere: bool = False
    # How often it may be asked until it does: for faults that come by chance.
    tries: int = 1
    # One of its lines says this.
    said: str = ""
    # One of these is shown in the status.
    findings: set = field(default_factory=set)
    # These stay for a while after the cure.
    lasting: set = field(default_factory=set)
    # Those that come and go may take so long.
    ebb_within: float = 0
    back_within: float = 12
    up_within: float = 10
    comes_up: bool = True
    stays_online: bool = False
    # What the process may have more of afterwards.
    more_kib: int = 512


def case(**more):
    for key in ("doctor", "findings", "lasting"):
        more[key] = set(more.get(key, "").split())

    def add(script):
        CASES[script.__name__.replace("_", "-")] = Case(script, **more)
        return script
    return add


from . import network, names, broker, login, box, router, remote  # noqa: E402,F401
