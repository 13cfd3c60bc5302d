"""The installation: settings, processes, addresses, and the leaves that both apps use."""

__version__ = "0.1.0"
