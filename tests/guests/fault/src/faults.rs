//! The ways to go wrong. Each function is named as the action is, so that a backtrace names it too.

use serde_json::json;
use wasip2::http::types::IncomingRequest;

use crate::answer::{self, Answer};
use crate::query::Query;
use crate::{body, instance, outbound, served, store};

/// Whether the fault shall strike in this instance.
fn strikes_here(query: &Query) -> bool {
    query.text("only").is_none_or(|only| only == instance())
}

/// Goes straight to the `unreachable` instruction, as a panic without a message would.
#[inline(never)]
fn trap_as_asked() -> ! {
    std::process::abort()
}

/// `code`, `only`: answers that status, there or everywhere.
pub fn status_in(query: &Query, answer: Answer) {
    if strikes_here(query) {
        return answer.status(query.number("code")).text("");
    }
    answer.text("fine\n");
}

/// `ms`, `only`: answers late, there or everywhere.
pub fn slow_in(query: &Query, answer: Answer) {
    if strikes_here(query) {
        answer::sleep(query.number("ms"));
    }
    answer.text("here\n");
}

/// `only`: traps, there or everywhere.
pub fn trap(query: &Query, answer: Answer) {
    if strikes_here(query) {
        trap_as_asked();
    }
    answer.text("survived\n");
}

/// `n`: traps on every n-th request of an instance.
pub fn trap_every(query: &Query, answer: Answer) {
    if served().is_multiple_of(query.number::<u64>("n")) {
        trap_as_asked();
    }
    answer.text("survived\n");
}

/// `bucket`, `key`: traps until somebody has written that key. Only reads, so nothing of it is visible.
pub fn trap_until(query: &Query, answer: Answer) {
    let healed = store::open(query).and_then(|bucket| bucket.exists(query.text_or_empty("key")));
    if !healed.expect("the test grants the bucket") {
        trap_as_asked();
    }
    answer.text("healed\n");
}

/// `bytes`: sends the head and so much of the body, then traps.
pub fn late_trap(query: &Query, answer: Answer) {
    let mut sending = answer.start("application/octet-stream");
    sending.send(&vec![b'x'; query.number("bytes")]);
    trap_as_asked();
}

/// `bucket`, `key`: counts this request, then traps.
pub fn write_then_trap(query: &Query, answer: Answer) {
    let count = store::increment(query).expect("the test grants the bucket");
    if strikes_here(query) {
        trap_as_asked();
    }
    answer.json(&json!({ "count": count }));
}

/// `bucket`, `key`, `only`: traps, and where it doesn't, counts this request.
pub fn trap_then_write(query: &Query, answer: Answer) {
    if strikes_here(query) {
        trap_as_asked();
    }
    let count = store::increment(query).expect("the test grants the bucket");
    answer.json(&json!({ "count": count }));
}

/// `url`: sends a request out into the world, then traps.
pub fn outbound_then_trap(query: &Query, answer: Answer) {
    let seen = outbound::fetch(query.text_or_empty("url"));
    if strikes_here(query) {
        trap_as_asked();
    }
    answer.json(&seen);
}

/// `only`: traps before it looks at the body, or answers the body's length and checksum.
pub fn trap_or_sum(query: &Query, request: &IncomingRequest, answer: Answer) {
    if strikes_here(query) {
        trap_as_asked();
    }
    answer.json(&body::drain(request));
}

/// `only`: reads the whole request body, then traps, or answers its length and checksum.
pub fn body_then_trap(query: &Query, request: &IncomingRequest, answer: Answer) {
    let seen = body::drain(request);
    if strikes_here(query) {
        trap_as_asked();
    }
    answer.json(&seen);
}

/// `only`: burns CPU for ever without calling the host.
pub fn spin(query: &Query, answer: Answer) {
    let mut turns: u64 = 0;
    while strikes_here(query) {
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
            if turns == u64::MAX {
                break;
            }
        }
    }
    answer.text("didn't spin\n");
}

/// `bytes`: takes so much memory for good and answers; without it, takes memory until there is none.
pub fn hoard(query: &Query, answer: Answer) {
    let bytes: usize = query.number("bytes");
    let mut hoarded = 0;
    while bytes == 0 || hoarded < bytes {
        let chunk = vec![1_u8; 1 << 20];
        hoarded += chunk.len();
        std::hint::black_box(chunk.leak());
    }
    answer.text("hoarded\n");
}

/// Recurses until the stack is full.
pub fn overflow(answer: Answer) {
    #[expect(unconditional_recursion, reason = "that is the fault")]
    #[inline(never)]
    fn deeper(depth: u64) -> u64 {
        std::hint::black_box(deeper(std::hint::black_box(depth + 1)) + depth)
    }
    answer.text(&deeper(0).to_string());
}

/// `code`: ends the instance the way a command would.
pub fn exit(query: &Query, answer: Answer) {
    let code = query.number("code");
    let _unanswered = answer;
    std::process::exit(code)
}
