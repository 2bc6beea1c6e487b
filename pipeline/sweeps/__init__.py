"""Sweeps: a grid over parameters, each point of it a cell that is carried out once, by whichever process comes first.

A cell is a workspace: the stages write into its folder what they write into a project's. Images and runs are paid for
once, since all cells share the cache. What is done is on disk, so a sweep can be stopped, resumed, extended, and
carried out by several processes at once, on one machine or on several with a common folder.
"""
