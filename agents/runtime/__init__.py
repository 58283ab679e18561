"""How agents run: stages, loops, leases, Kafka, and the one place with try/except."""
