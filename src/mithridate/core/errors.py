"""The exceptions of the library, all of which a caller may catch as `MithridateError`.

MithridateError
├── DataError            the data cannot be used as they are; names the file, expected, found
│   └── UnsafeData       a file that could harm the reader: a bomb, a link out of its folder
├── MethodError          a method was configured or called wrongly
│   └── UnknownMethod    no method of that name; the nearest names are given
├── EvidenceWithheld     a method asked for evidence that the threat model withholds
├── CannotJudge          a method cannot answer here, and says why: no gradient, no spread
├── ContractError        a method broke its contract: wrong shape, not finite
└── MissingExtra         an optional dependency is absent; the install line is given
"""

import sysconfig
import traceback

LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
"""Where what belongs to nobody here is installed."""


class MithridateError(Exception):
    """Any error that the library raises on purpose."""


class DataError(MithridateError):
    """The data cannot be used as they are."""


class UnsafeData(DataError):
    """A file could harm the reader."""


class MethodError(MithridateError):
    """A method was configured or called wrongly."""


class UnknownMethod(MethodError):
    """No method has the name asked for."""


class EvidenceWithheld(MithridateError):
    """The threat model does not grant the evidence asked for."""


class CannotJudge(MithridateError):
    """A method cannot answer for this model or these data, which is not the same as clean."""


class ContractError(MithridateError):
    """A method answered with something that its contract forbids."""


class MissingExtra(MithridateError):
    """An optional dependency is not installed."""


def origin(error: BaseException) -> str:
    """Say in which file and line an error arose: the last that is of no library.

    A method of another package, which this one called, is named too unless it is installed where
    libraries are.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    seen = "an unknown place"
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        path = frame.f_code.co_filename
        if name.partition(".")[0] == "mithridate":
            seen = f"{name}, line {line}"
        elif not path.startswith((*LIBRARIES, "<")):
            seen = f"{path}, line {line}"
    return seen
