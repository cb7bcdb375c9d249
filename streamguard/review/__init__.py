"""What a person is shown of a decision: read from its evidence file, run again, drawn."""
