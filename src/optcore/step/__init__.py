"""What a step is made of, whatever the front end: arrays, threads, shares of the work."""
