"""Trains, exports and evaluates the nano checkpoints; README.md has the commands."""
