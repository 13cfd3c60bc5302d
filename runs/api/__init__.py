"""The API about runs: KFP v2beta1 and our own."""
