"""Opens the encrypted links of a PBX's API to call recordings; nginx serves the files."""

from .app import create_app

__all__ = ["__version__", "create_app"]

__version__ = "0.1.0"
