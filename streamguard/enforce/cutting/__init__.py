"""Orders carried out at the media servers, and webhooks told of them."""
