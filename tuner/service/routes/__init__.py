"""Routes under /api/v1, one module a noun. They check and convert; what happens is the engine's affair."""
