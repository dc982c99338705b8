"""dlt sources; a package, so that in a checkout no other folder `sources` can take its place."""
