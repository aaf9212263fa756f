"""What `fourreal` can be asked for on the command line (`python -m fourreal_core` is the same): one file per command, each with `add_arguments` and `run`."""
