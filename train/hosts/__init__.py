"""Training and evaluation on several processes, on one machine or on many, by JAX's runtime.

Every process runs the same program, trains on its own devices and reads its own share of each
batch. All of them take the same branches at the same steps. Process 0 writes the files of the run
and the output; checkpoints are written by all. An evaluation shares out the videos instead, see
`train.hosts.shares`.
"""
