"""Who was struck for what, and until when: the book, its records and the gate's copy of it."""
