//! The API by plain calls of its router: no socket, a store of its own for each test.
//!
//! The files mirror the paths. Each asserts status and whole body, and for settings marked (*)
//! both what the product does and what djoser does.

mod described;
mod world;

mod description;

mod every_path;

mod users;

mod users_me;

mod people;

mod activation;

mod set_password;

mod username;

mod logins;

mod rotation;

mod reset_password;

mod pages;

mod token;

mod jwt;

mod key_set;
