"""One worker: claims a trial, runs its stages, keeps its leases, says how it ended."""
