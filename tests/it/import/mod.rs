//! `portcullis import django`: from the sample of a Django database, and from PostgreSQL.

mod moved;
mod place;
mod runs;
