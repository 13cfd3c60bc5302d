"""Journeys in a real Chromium against a whole installation; they fail on any error of the page."""
