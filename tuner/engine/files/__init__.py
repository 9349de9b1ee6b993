"""What is in the artifact folder: where, whose it is, whether it is whole, how long it is kept."""
