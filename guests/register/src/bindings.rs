//! Bindings for the world `wharf:accounts/client`.

#![expect(clippy::pedantic, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/accounts",
    world: "client",
});
