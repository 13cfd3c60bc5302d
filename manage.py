#!/usr/bin/env python
"""Django's command line for a checkout; `kfdash manage` is the same for an installation."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kfdash.settings")
    execute_from_command_line(sys.argv)
