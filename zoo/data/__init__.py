"""Pictures and recordings: files in and out, what sets there are, and what a training sees."""
