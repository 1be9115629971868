"""Opens encrypted links to call recordings; nginx serves the files."""

from .app import create_app

__all__ = ["create_app"]
