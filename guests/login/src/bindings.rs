//! Bindings for the service `accounts` and for settings; HTTP, clocks and the rest come with `wstd`.

#![expect(clippy::pedantic, reason = "generated")]

wit_bindgen::generate!({
    inline: "
        package wharf:login;
        world imports {
            include wharf:accounts/client@0.1.0;
            import wasi:config/store@0.2.0-rc.1;
        }
    ",
    path: ["../../wit/accounts", "../../wit/deps/config"],
    generate_all,
});
