//! A function for other services, and no HTTP handler.

#![expect(unsafe_code, missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({
    inline: "
        package bench:greeter;
        world greeting {
            export bench:hop/greeter@0.1.0;
        }
    ",
    path: ["../wit"],
    generate_all,
});

struct Greeter;

export!(Greeter);

impl exports::bench::hop::greeter::Guest for Greeter {
    fn hello() -> String {
        "Hello, World!".to_owned()
    }
}
