"""Ways in from other frameworks and out to them."""
