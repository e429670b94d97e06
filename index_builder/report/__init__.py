"""What a build tells people: one model, and pages, plots and files made of it."""
