-- From where a credential's tokens may be presented: ranges joined by spaces; nothing for anywhere. A column that is there
-- already is not added again.
ALTER TABLE credential ADD COLUMN addresses TEXT;
