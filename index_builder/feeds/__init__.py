"""From the rows of a feed to vetted blocks of rows; fetching, sealed batches and formats have rooms of their own."""
