"""Learning the networks of `diorama.diffusion` and `diorama.perception` from the theatre or from a folder of samples."""
