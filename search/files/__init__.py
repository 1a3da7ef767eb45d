"""Where things are on the disk, and how a file is read and written as a whole."""
