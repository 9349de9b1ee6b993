"""Making things happen: studies, trials, workers."""
