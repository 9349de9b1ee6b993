"""Programs that ``benchmarks.training`` talks to."""
