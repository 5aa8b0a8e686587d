"""Where the runs of a plan are carried out when not in this process."""
