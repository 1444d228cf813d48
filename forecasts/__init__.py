"""From GRIB2 at NOAA to wind files in a bucket: what there is, what of it is needed, fetched, decoded, assembled."""
