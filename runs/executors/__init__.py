"""Backends that run containers, behind the protocol in `base`. None of them knows a database."""
