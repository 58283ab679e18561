"""What operators ask for by the command line, in transactions of its own beside the stages'."""
