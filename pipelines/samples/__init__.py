"""Sample pipelines: each `kfp` source beside the package that it compiles to (`make samples`)."""
