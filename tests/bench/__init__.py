"""`./run bench`: times record-shim and its alternatives side by side."""
