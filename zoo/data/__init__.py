"""Pictures: files in and out, what sets of them there are, and the batches a training sees."""
