-- What is enforced in a namespace, in one hash that every mutation keeps up. That of what is there already is summed up
-- when the database is opened, once. A column that is there is not added again.
ALTER TABLE namespace ADD COLUMN set_hash BLOB;
