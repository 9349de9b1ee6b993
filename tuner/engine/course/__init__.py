"""How a study goes on: pausing, promoting, confirming and ending, decided from what its trials gave."""
