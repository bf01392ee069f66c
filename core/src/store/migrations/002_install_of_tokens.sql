-- Version 2. Tokens belong to an install, whose counters the lanes are: stored with them, so that a kill in
-- the middle of a sign-in cannot leave one without the other. NULL: as the install file says.
ALTER TABLE session ADD COLUMN install TEXT;
