//! Response bodies of every shape arrive byte for byte, and what HTTP says about their length holds.

use bytes::Bytes;
use http::{HeaderValue, Method};
use wharf_tests::seen::same;
use wharf_tests::{Held, Target, Wharf, whole};

use crate::variants::{self, VARIANTS, fronts, pattern, settled};

const PATIENT: &str = "
    [instances]
    count = 2
    [limits]
    timeout = '100s'
    queue_wait = '100s'
    request_body = 'unlimited'
";

/// Around the sizes at which hosts and guests cut bodies into parts.
const SIZES: [usize; 17] = [
    0, 1, 2, 1023, 1024, 1025, 4095, 4096, 4097, 16_384, 65_535, 65_536, 65_537, 131_072,
    1_048_575, 1_048_576, 1_048_577,
];

/// Asserts that taking these steps gives so many bytes of the pattern, with this length announced.
async fn gives(front: &Target, target: &str, length: usize, announced: Option<usize>) {
    let reply = front.get(target).await;
    assert_eq!(reply.status, 200, "{target}");
    same(&reply.body, &pattern(length));
    if let Some(announced) = announced {
        assert_eq!(
            reply.header("content-length"),
            announced.to_string(),
            "{target}"
        );
    }
}

/// Nothing of what was tried has hurt anybody.
async fn unharmed(wharf: &Wharf) {
    for variant in VARIANTS {
        settled(wharf, variant, 2).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_body_of_any_size_arrives_byte_for_byte() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            for size in SIZES {
                let target = variant.steps(&format!("head,write:{size},finish"));
                gives(&front, &target, size, None).await;
                let target = variant.steps(&format!("length:{size},head,write:{size},finish"));
                gives(&front, &target, size, Some(size)).await;
            }
        }
    }
    unharmed(&wharf).await;
}

#[tokio::test]
async fn a_body_in_any_number_of_parts_arrives_byte_for_byte() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            for (steps, length) in [
                ("head,finish", 0),
                ("head,flush,finish", 0),
                ("head,tiny:5000,finish", 5000),
                ("length:5000,head,tiny:5000,finish", 5000),
                ("head,write:8388608,finish", 8_388_608),
                ("length:8388608,head,write:8388608,finish", 8_388_608),
                ("head,write:10,flush,write:10,flush,write:10,finish", 30),
                (
                    "head,flush,write:10,sleep:20,write:100000,work:20,tiny:10,flush,finish",
                    100_020,
                ),
                (
                    "length:100020,head,write:10,flush,sleep:20,write:100000,tiny:10,finish",
                    100_020,
                ),
            ] {
                gives(&front, &variant.steps(steps), length, None).await;
            }
        }
    }
    unharmed(&wharf).await;
}

#[tokio::test]
async fn trailers_come_behind_a_body_of_any_size() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            for size in [0, 1, 1000, 65_536, 1_000_000] {
                let target = variant.steps(&format!("announce,head,write:{size},trailers"));
                let mut request = front.request(Method::GET, &target, whole(""));
                let te = HeaderValue::from_static("trailers");
                request.headers_mut().insert("te", te);
                let reply = front.client.send(request).await;
                same(&reply.body, &pattern(size));
                let trailers = reply.trailers.as_ref();
                let sum = trailers.and_then(|trailers| trailers.get("x-sum"));
                let expected = size.to_string();
                assert_eq!(
                    sum.map(HeaderValue::as_bytes),
                    Some(expected.as_bytes()),
                    "{}: {size}",
                    variant.name
                );
            }
        }
    }
    unharmed(&wharf).await;
}

#[tokio::test]
async fn a_body_shorter_than_its_length_never_passes_for_whole() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for steps in [
            "length:10,head,finish",
            "length:1000,head,write:999,finish",
            "length:1000,head,write:500,flush,finish",
            "length:3000000,head,write:2999999,finish",
        ] {
            for front in fronts(&wharf) {
                let seen = front.see_get(&variant.steps(steps)).await;
                seen.no_answer(&pattern(3_000_000));
            }
        }
    }
    unharmed(&wharf).await;
}

#[tokio::test]
async fn a_body_longer_than_its_length_is_cut_there_or_broken_off() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for (steps, length) in [
            ("length:0,head,write:10,finish", 0),
            ("length:10,head,write:20,finish", 10),
            ("length:10,head,write:10,flush,write:10,finish", 10),
            ("length:10,head,tiny:20,finish", 10),
            ("length:100000,head,write:3000000,finish", 100_000),
        ] {
            for front in fronts(&wharf) {
                let seen = front.see_get(&variant.steps(steps)).await;
                seen.whole_or_broken(&pattern(length));
            }
        }
    }
    unharmed(&wharf).await;
}

#[tokio::test]
async fn a_status_that_allows_no_body_has_none() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for status in [204, 304] {
            for steps in [
                "head,finish",
                "head,write:1000,finish",
                "head,write:100000,finish",
                "length:1000,head,write:1000,finish",
                "head,drop-body",
            ] {
                // on one connection: whatever the guest wrote is not taken for the next response
                let target = variant.steps(&format!("status:{status},{steps}"));
                let front = wharf.front.fresh();
                for _ in 0..3 {
                    let reply = front.get(&target).await;
                    assert_eq!(reply.status, status, "{target}");
                    assert_eq!(reply.body, Bytes::new(), "{target}");
                    gives(&front, &variant.steps("head,write:10,finish"), 10, None).await;
                }
            }
        }
    }
    unharmed(&wharf).await;
}

/// Fails today: over HTTP/2 the guest's bytes are sent on (RFC 9110, 15.3.5 and 15.4.5).
#[tokio::test]
async fn a_status_that_allows_no_body_has_none_over_http_2_either() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for status in [204, 304] {
            let target = variant.steps(&format!("status:{status},head,write:1000,finish"));
            let reply = wharf.front.http2().get(&target).await;
            assert_eq!(reply.status, status, "{target}");
            assert_eq!(reply.body, Bytes::new(), "{target}");
        }
    }
}

/// Fails today: the guest's length is sent on (RFC 9110, 8.6).
#[tokio::test]
async fn a_204_announces_no_length() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let target = variant.steps("status:204,length:1000,head,write:1000,finish");
            let reply = front.get(&target).await;
            assert_eq!(reply.status, 204);
            assert_eq!(reply.header("content-length"), "", "{reply:?}");
        }
    }
}

#[tokio::test]
async fn a_head_is_answered_without_the_body_that_the_guest_gives() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            for (steps, length) in [
                ("head,write:1000,finish", None),
                ("head,write:3000000,finish", None),
                ("announce,head,write:10,trailers", None),
                ("length:1000,head,write:1000,finish", Some("1000")),
                ("length:3000000,head,write:3000000,finish", Some("3000000")),
                ("length:1000,head,finish", Some("1000")),
            ] {
                let target = variant.steps(steps);
                let request = front.request(Method::HEAD, &target, whole(""));
                let reply = front.client.send(request).await;
                assert_eq!(reply.status, 200, "{target}");
                assert_eq!(reply.body, Bytes::new(), "{target}");
                if let Some(length) = length {
                    assert_eq!(reply.header("content-length"), length, "{target}");
                }
                gives(&front, &variant.steps("head,write:10,finish"), 10, None).await;
            }
        }
    }
    unharmed(&wharf).await;
}

#[tokio::test]
async fn a_request_body_may_be_read_in_part_or_not_at_all() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            for length in [10, 60_000, 1_000_000] {
                let body = pattern(length);
                let half = length / 2;
                for (steps, expected) in [
                    ("head,write:1000,finish".to_owned(), pattern(1000)),
                    (format!("read:{half},head,write:1000,finish"), pattern(1000)),
                    (format!("head,echo:{half},finish"), pattern(half)),
                    ("read-all,head,write:1000,finish".to_owned(), pattern(1000)),
                    ("head,echo-all,finish".to_owned(), pattern(length)),
                ] {
                    let reply = front.post(&variant.steps(&steps), body.clone()).await;
                    assert_eq!(reply.status, 200, "{steps}");
                    same(&reply.body, &expected);
                }
            }
        }
    }
    unharmed(&wharf).await;
}

#[tokio::test]
async fn a_body_comes_back_part_by_part_as_it_is_sent() {
    let wharf = variants::all(PATIENT).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let target = variant.steps("head,echo-all,finish");
            let mut held = Held::open(&front, &target).await;
            for part in ["one", "two", &"three".repeat(20_000)] {
                held.exchange(part).await;
            }
            held.release().await;
        }
    }
    unharmed(&wharf).await;
}
