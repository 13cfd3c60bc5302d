"""What a pipeline is: packages, specifications, pipelines and their versions, drawings."""
