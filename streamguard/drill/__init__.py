"""The drill: the operator's own footage under attack, streamed through the pipeline, to see what would get through."""
