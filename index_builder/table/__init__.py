"""All rows of all feeds as sorted columns on disk, and the search tables made of them."""
