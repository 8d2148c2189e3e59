"""Image and audio files, data sources, and the batches of a training."""
