"""The program beside each step in its pod: it fetches inputs, sends the log, collects outputs, tells kfdash. Knows no Django."""
