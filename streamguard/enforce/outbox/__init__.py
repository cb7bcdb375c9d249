"""What was decided, durable until it is delivered and answered."""
