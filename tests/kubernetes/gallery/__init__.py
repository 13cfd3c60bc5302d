"""Broken pipelines, each with the sentence that the cluster's state must be turned into: on its run, its step, and the API."""
