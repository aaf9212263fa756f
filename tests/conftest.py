"""Lets every test import `fourreal_core` and the scripts' modules from the checkout."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
for folder in (CHECKOUT / "scripts", CHECKOUT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
