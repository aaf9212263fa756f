"""How well a grid agrees with itself, without a truth and without weights: measure.py (all of it), metrics.py (what each number means).

epipolar.py: geometry between views; motion.py: motion along time and views, by the optical flow of flows.py; looks.py: sharpness.
"""
