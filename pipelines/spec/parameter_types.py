"""The types of parameters. They stand alone: programs that start fast need them, and nothing else of the model."""

from __future__ import annotations

from enum import StrEnum


class ParameterType(StrEnum):
    """The declared type of a parameter."""

    NUMBER_INTEGER = "NUMBER_INTEGER"
    NUMBER_DOUBLE = "NUMBER_DOUBLE"
    STRING = "STRING"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"
    TASK_FINAL_STATUS = "TASK_FINAL_STATUS"
    TASK_CONFIG = "TASK_CONFIG"
