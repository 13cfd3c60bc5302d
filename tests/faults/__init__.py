"""What goes wrong around a run, on the real stack: the run goes on, and what is said are sentences."""
