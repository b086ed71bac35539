-- Which disk a destination of a run is: another home must find the same one.
ALTER TABLE destinations ADD COLUMN destination_id TEXT;
