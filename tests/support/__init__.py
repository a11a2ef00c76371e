"""Helpers of the tests; no test stands here. Only modules named torch_* import torch."""
