"""The command ``tuner``: one module a command."""
