"""What is kept of a decision, for a person and for a replay."""
