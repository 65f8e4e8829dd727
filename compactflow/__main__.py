"""``python -m compactflow``: the command line."""

from __future__ import annotations

import sys

from compactflow.cli import main

sys.exit(main())
