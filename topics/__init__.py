"""Record types, keys and names of the Kafka topics; nothing else."""
