"""From files to arrays and back: geometry, preparation, cached patches, case lists and their checks. No torch here."""
