"""Two streams on the host's own video models: a patch of MODEL that runs each block for views and for times.

`patch.py` attaches it, `streams.py` is the algorithm, `layout.py` re-lays tensors, `backbones.py` knows the models,
`fused.py` is attention over equal view or equal time. Background and limits: docs/backbones.md.
"""
