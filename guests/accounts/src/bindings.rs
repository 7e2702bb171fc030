//! Bindings for the world `wharf:accounts/service`.

#![expect(clippy::pedantic, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/accounts",
    world: "service",
    additional_derives: [PartialEq],
});
