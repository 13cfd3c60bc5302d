"""Whole pipelines through the real KFP client on a running installation, read back through the public APIs only."""
