"""The design space: points, search, Pareto front; see ``docs/exploration.md``."""

import sys
from types import ModuleType

from .run import explore
from .space import Space
from .study import Study

__all__ = ["Space", "Study", "explore"]


class _Callable(ModuleType):
    """Of one name with the public function, so it is one: ``hwsim.explore(network, space)``."""

    __call__ = staticmethod(explore)


sys.modules[__name__].__class__ = _Callable
