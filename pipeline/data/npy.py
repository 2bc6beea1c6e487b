"""Read arrays from files in NumPy's format, whose headers may state anything."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


def mapped(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """Return the array in a file, mapped into memory: ``r`` read-only, ``c`` copied where it is written to.

    Raises ValueError if the file is not an array, or shorter than its header says; OSError if it cannot be read. No
    memory is taken before: NumPy's own reading of a header of 10^12 rows asks for terabytes.
    """
    try:
        found: NDArray[Any] = np.lib.format.open_memmap(path, mode=mode)
    except (OSError, ValueError):
        raise
    except Exception as error:  # the header is a Python literal, which fails in many ways
        raise ValueError(f"not an array ({type(error).__name__})") from None
    return found


def whole(path: Path) -> NDArray[Any]:
    """Return the array in a file; see ``mapped`` for its errors."""
    return np.array(mapped(path))
