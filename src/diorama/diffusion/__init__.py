"""The one generative core: levels, denoisers, samplers, networks, and the weights they load."""
