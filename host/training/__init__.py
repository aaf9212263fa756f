"""The host's side of training synchronization layers: *4Real Train Sync* (`train_sync.py`) puts these together.

`trainee.py` is the model in training, `error.py` one call of it and its error, `footage.py` what it is trained on, `pictures.py` what
comes out of it. The loop itself is `fourreal_core/training/sync_loop.py`.
"""
