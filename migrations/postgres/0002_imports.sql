-- What an import of another system's database has brought, so that a second run can tell what
-- changed there, and does not bring back what ended here. It outlives the users it names.
CREATE TABLE imported_users (
    user_id     BIGINT NOT NULL,
    fingerprint TEXT   NOT NULL,                    -- of the record as it was there
    digest      TEXT   NOT NULL,                    -- of its opaque token there, in hex; '' for none
    CONSTRAINT imported_users_user_id PRIMARY KEY (user_id)
);
