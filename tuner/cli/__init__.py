"""The command ``tuner``: one module a command.

At its top a module imports what its help needs, at most rich and plain declarations; what a command does is imported
where it does it. So no command waits for torch, Optuna or the dashboard that another one needs:
``tests/tuner/cli/test_light_commands.py`` holds that.
"""
