"""The tables of MIMO and of SCD in miniature: small networks that differ in one thing, on clips of the theatre.

| file | what |
|---|---|
| `takes` | clips as what every variant is given, kept on disk; the held-out ones with their truth |
| `variants` | the rows of MIMO's table: what a network is told of a clip |
| `pairs` | the rows of SCD's table: three ways of looking at a reference |
| `recipes` | both as recipes of the trainer |
| `scoring` | what a trained variant makes of held-out clips, measured |
| `files` | small files of results |
| `tables` | everything in order, resumable, and the tables |
"""
