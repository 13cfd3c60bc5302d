"""Everything is killed, stopped and filled at random while runs go on; then it is checked that nothing was lost or done twice.

`python -m tests.chaos --seed N --minutes M` (`make chaos`) prints what it did and found, and fails where something is wrong.
"""
