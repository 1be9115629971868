"""Opens encrypted links to call recordings; nginx serves the files."""
