"""`python -m zoo.cli`, the command where it is not on the path."""

import sys

from zoo.cli import main

sys.exit(main())
