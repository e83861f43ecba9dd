"""Cases by subject."""
from . import accounts, gateways, load, paths  # noqa: F401
