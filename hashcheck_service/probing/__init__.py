"""Whether a tenant feels its way along the edge of the radius, from which a listed hash can be read off."""
