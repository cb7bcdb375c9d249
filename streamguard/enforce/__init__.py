"""From a decision to a delivered kill-signal: outbox, signing, Redis Streams."""
