"""What a step gets and gives: its complete order, placeholders, paths, outputs and fingerprint.

Plain Python: no Django, no I/O beyond what a caller hands in, no clock.
"""
