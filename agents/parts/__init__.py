"""What several agents share: events, entries and figures (pure), and talking to nodes."""
