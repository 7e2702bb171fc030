//! Steps that take time, or end the instance.

use std::time::{Duration, Instant};

use wasip2::clocks::monotonic_clock::subscribe_duration;

use crate::{answer, store};

/// Longer than any test.
const FOR_EVER: u64 = 1_000_000_000_000_000_000;

pub fn take(step: &str, argument: &str) {
    match step {
        "sleep" => answer::sleep(argument.parse().expect("milliseconds")),
        "work" => work(Duration::from_millis(
            argument.parse().expect("milliseconds"),
        )),
        "wait" => subscribe_duration(FOR_EVER).block(),
        "spin" => spin(),
        "trap" => trap_as_asked(),
        "mark" => store::mark(argument),
        "gate" => {
            while !store::is_marked(argument) {
                answer::sleep(20);
            }
        }
        "busy-gate" => while !store::is_marked(argument) {},
        _ => panic!("no such step: {step}"),
    }
}

/// Computes for so long, without ever waiting.
fn work(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Burns CPU for ever without calling the host.
fn spin() -> ! {
    loop {
        std::hint::spin_loop();
        std::hint::black_box(());
    }
}

/// Goes straight to the `unreachable` instruction, as a panic without a message would.
#[inline(never)]
fn trap_as_asked() -> ! {
    std::process::abort()
}
