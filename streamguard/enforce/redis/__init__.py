"""Redis itself: where it is, what it may cost, its errors in our words, scripts."""
