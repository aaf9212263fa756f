"""Training: examples (grids to batches), masks, loss, optimizer, state (checkpoints that resume), loop (start there)."""
