"""How the ufuncs of `scipy.special` are declared."""

from collections.abc import Callable
from typing import Any

from gpuad.numpy._ufuncs import Elementwise, elementwise
from gpuad.tracing.registry import SPECIAL

_NAMES = {"digamma": "psi"}
"""What SciPy calls a ufunc, where that is another name."""
_PROMPT = ">" * 3


class Loops:
    """The dtypes of a ufunc of SciPy, which is imported when it is asked for them."""

    def __init__(self, name: str, nin: int):
        self.name, self.nin, self.nout = name, nin, 1

    def resolve_dtypes(self, dtypes: tuple[Any, ...], **options: Any) -> tuple[Any, ...]:
        """The dtype of the result, for all operands: SciPy has loops for integer orders too."""
        import scipy.special._ufuncs

        name = _NAMES.get(self.name, self.name)
        found = getattr(scipy.special._ufuncs, name).resolve_dtypes(dtypes, **options)
        return (found[-1],) * len(found)


def ufunc(name: str, function: Callable[..., Any], nin: int, doc: str, example: str) -> Elementwise:
    """A function that answers for the ufunc of this name; `example` is a call with its value."""
    code, _, shown = example.partition(" -> ")
    lines = [
        "Examples", "--------", f"{_PROMPT} from gpuad.scipy.special import {name}",
        f"{_PROMPT} print({code}.round(6))", shown, "",
    ]  # fmt: skip
    text = f"{doc}\n\n    " + "\n    ".join(lines)
    result = elementwise(f"scipy.special.{name}", function, Loops(name, nin), doc=text)
    SPECIAL[name] = result
    return result
