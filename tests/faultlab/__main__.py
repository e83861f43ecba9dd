"""More cases for the fault lab, in the form of those of tests/lab/cases; they run in its worlds, by its rules and with its options.

  MOORLINE_LAB_BINARY=… python3 tests/faultlab [--list] [--json FILE] [--jobs N] [CASE…]      as root
"""
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAB = HERE.parent / "lab"


def lab():
    """tests/lab as a module with a name of its own: the pool's processes look up there what they are to run."""
    spec = importlib.util.spec_from_file_location("lab", LAB / "__main__.py")
    module = sys.modules["lab"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    sys.path[:0] = [str(HERE)]
    runner = lab()
    runner.CASES.clear()
    import more  # noqa: F401  its modules enter their cases
    runner.main()


if __name__ == "__main__":
    main()
