"""Hyperparameter tuning service for sequential recommenders."""
