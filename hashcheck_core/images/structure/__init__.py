"""How a picture file is built, read before a decoder gets it: how many frames it has, and whether it is built to be
costly.

limits     what is too much, and why
reading    the kind of a file, and the reader for it
jpeg, png, gif, tiff, webp, isobmff, jpeg2000    a reader each; boxes serves the last two

Each reader walks over the container and decodes nothing. It takes any bytes: it stops where they make no sense, and
leaves it to the decoder to refuse them. It takes time in proportion to the parts of the file, up to its limits.
"""
