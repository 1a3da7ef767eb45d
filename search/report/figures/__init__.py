"""The figures, one file each: first the values that it shows, then the drawing.

`drawings` computes and draws them all. `captions` has what stands below them, `style` how all of them look,
`panels` how they fit a screen.
"""
