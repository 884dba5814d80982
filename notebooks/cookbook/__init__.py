"""What the notebooks of the Deep Learning Cookbook share: paths, data, models, figures, seeds.

The lessons themselves stand in the notebooks. Here is only what would be tedious to repeat there.
"""
