"""Recommenders: data in, trained and scored model out. Knows nothing of tuning."""
