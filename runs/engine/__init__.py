"""What happens next: facts go in, changes, events and orders come out.

Plain Python: no Django, no I/O, no clock. `model` holds the values, `advance` is the entrance.
"""
