"""What is made of a kill-signal: an order, what stands against it, and who takes it back."""
