"""What nodes are made of: functions of the parents, flows of one number, latents, laws of noise.

Nothing here knows of variables' names in a graph, of Pyro sites or of training.
"""
