"""Commands of `kfdash manage` about runs."""
