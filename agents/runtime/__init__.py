"""How agents run: stages, loops, leases, Kafka, and the one place that judges their faults."""
