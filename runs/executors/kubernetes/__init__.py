"""Runs steps as pods of a Kubernetes cluster."""
