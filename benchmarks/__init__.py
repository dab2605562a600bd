"""Each headline number, side by side with the incumbent.

``python -m benchmarks`` runs all of them and prints one table; names after it run those
alone: ``python -m benchmarks verify stalled``. Rounds of the incumbent and of ours take
turns, so that whatever else the machine does hits both; the medians are compared. Rates
depend on the machine, ratios hardly do.
"""

import sys
from pathlib import Path

# What the tests have of other people's programs and of real software is measured, too.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
