"""Models at work: pictures and recordings of any size through any of them, in flat memory."""
