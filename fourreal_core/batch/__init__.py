"""Many shots, one after the other on one machine or side by side on many: shots.py says which, run_shot.py runs one, spread.py spreads them, page.py reports."""
