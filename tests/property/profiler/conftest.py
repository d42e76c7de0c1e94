"""The world of the unit tests serves the properties too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "profiler"))
