"""Tests that need a cluster: `make test-kubernetes KUBECONFIG=FILE`."""
