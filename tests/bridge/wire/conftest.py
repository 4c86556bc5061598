"""Lets the tests of this folder share `broken_mail`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
