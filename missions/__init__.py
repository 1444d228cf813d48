"""People and what they keep: accounts, organisations, simulations, the queue of jobs and their results."""
