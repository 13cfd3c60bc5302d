"""Figures of speed and size, each beside its budget and the same work done by hand in the same run. `make bench` prints them."""
