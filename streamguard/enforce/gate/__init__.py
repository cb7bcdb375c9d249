"""The publish gate: answers media servers' hooks by the strikes in its memory."""
