"""Publishes to the channel layer what pages watch."""
