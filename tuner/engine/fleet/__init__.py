"""Many workers: how many this machine keeps, and where they are started."""
