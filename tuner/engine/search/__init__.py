"""What to try: samplers, pruners, asks, and their Optuna studies."""
