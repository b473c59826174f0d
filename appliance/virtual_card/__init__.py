"""A sound card that exists only in files: for `scripts/demo --card virtual`, tests and benchmarks. Linux and ALSA."""
