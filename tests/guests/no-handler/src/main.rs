//! A sound component that serves nothing: it exports `wasi:cli/run` and no HTTP handler.

fn main() {
    println!("nobody will run this");
}
