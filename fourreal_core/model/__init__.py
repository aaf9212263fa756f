"""The paper's model: config, base video transformer (dit), synchronization layers (sync), two streams, checkpoints."""
