"""Learning the networks of `diorama.diffusion` and `diorama.perception` from the theatre or a folder of samples."""
