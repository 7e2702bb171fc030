//! A service whose functions pass handles, which another sandbox could do nothing with.

wit_bindgen::generate!({
    inline: "
        package acme:files@0.1.0;
        interface open {
            resource file {
                read: func() -> list<u8>;
            }
            by-name: func(name: string) -> file;
        }
        world handles {
            export open;
        }
    ",
});

use exports::acme::files::open::{File, Guest, GuestFile};

struct Handles;

export!(Handles);

struct Empty;

impl Guest for Handles {
    type File = Empty;

    fn by_name(_name: String) -> File {
        File::new(Empty)
    }
}

impl GuestFile for Empty {
    fn read(&self) -> Vec<u8> {
        Vec::new()
    }
}
