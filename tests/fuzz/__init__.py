"""Random input for everything that takes what strangers made: an answer or a sentence, never a traceback, a hang or a lie.

`make fuzz` runs many cases over all cores (`python -m tests.fuzz --help`), the tests of this folder some hundreds.
"""
