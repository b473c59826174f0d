"""Models that run on the device: their files, and the ONNX runtime."""
