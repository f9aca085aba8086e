"""The command line: `loopsy`, also `python -m loopsy_cli`."""
