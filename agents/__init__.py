"""The stages and loops of the pipeline: one file each, named verb_noun. See ARCHITECTURE.md."""
