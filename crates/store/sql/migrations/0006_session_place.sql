-- Where the process of a session runs, for succession: boot id, device and inode of its lock file, 32 bytes in all; absent
-- for one that keeps no state folder. A column that is there already is not added again.
ALTER TABLE session ADD COLUMN place BLOB;
