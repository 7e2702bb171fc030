//! Bindings for the world `wharf:guest/imports`; HTTP, clocks and the rest come with `wstd`.

#![expect(clippy::pedantic, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "wharf:guest/imports",
    generate_all,
});
