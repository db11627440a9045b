"""Where bytes live: content-addressed files and the LanceDB archive."""
