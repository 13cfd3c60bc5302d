"""The API about pipelines: KFP v2beta1 and our own."""
