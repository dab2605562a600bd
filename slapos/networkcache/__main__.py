"""``python -m slapos.networkcache``: the commands, as ``networkcache``."""

import sys

from .cli import main

sys.exit(main())
