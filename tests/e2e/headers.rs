//! Headers of every odd sort pass unchanged, in both directions, but for those that are the
//! connection's own.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use wharf_tests::{Reply, whole};

use crate::variants::{self, VARIANTS, fronts};

/// Enough for what is sent here, in bytes and in number.
const ROOMY: &str = "[http]\nmax_header_bytes = '64KiB'\nmax_headers = 200";

/// Fields as they are written one below the other.
type Fields = Vec<(String, Vec<u8>)>;

fn field(name: &str, value: impl AsRef<[u8]>) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_ref().to_vec())
}

/// Every byte that may stand inside of a value (RFC 9110, 5.5).
fn odd_bytes() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0x21..=0x7e).chain(0x80..=0xff).collect();
    bytes.splice(10..10, *b" \t ");
    bytes
}

fn odd_fields() -> Fields {
    let mut fields = vec![
        field("x-empty", ""),
        field("x-odd", odd_bytes()),
        field("x-long", vec![b'l'; 20_000]),
        field("x-twice", "first"),
        field("x-twice", "second, third"),
        field("x-twice", "first"),
        field("x-!#$%&'*+-.^_`|~09az", "an odd name"),
    ];
    fields.extend((0..70).map(|number| field(&format!("x-many-{number}"), number.to_string())));
    fields
}

/// Those of a message that are named, in the order in which they came for each name.
fn of(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.as_bytes().to_vec()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Asserts that of each name in `sent`, `got` has the same values in the same order.
fn unchanged(sent: &Fields, got: &HeaderMap) {
    for (name, _) in sent {
        let expected = sent.iter().filter(|(other, _)| other == name);
        let expected: Vec<_> = expected.map(|(_, value)| value.clone()).collect();
        assert_eq!(of(got, name), expected, "{name}");
    }
}

/// What the step `list-headers` lists.
fn listed(reply: &Reply) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in reply.body.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]).expect("it is a name");
        let value = HeaderValue::from_bytes(&line[colon + 2..]).expect("it is a value");
        headers.append(name, value);
    }
    headers
}

#[tokio::test]
async fn request_headers_reach_the_guest_unchanged() {
    let wharf = variants::started(wharf_tests::Wharf::builder().config(ROOMY), "").await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let target = variant.steps("head,list-headers,finish");
            let mut request = front.request(Method::GET, &target, whole(""));
            for (name, value) in odd_fields() {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("it is a name");
                let value = HeaderValue::from_bytes(&value).expect("it is a value");
                request.headers_mut().append(name, value);
            }
            let reply = front.client.send(request).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            unchanged(&odd_fields(), &listed(&reply));
        }
    }
}

#[tokio::test]
async fn response_headers_reach_the_client_unchanged() {
    let wharf = variants::started(wharf_tests::Wharf::builder().config(ROOMY), "").await;
    let mut fields = vec![
        field("set-cookie", "a=1; Path=/; HttpOnly"),
        field("set-cookie", "b=2"),
        field("set-cookie", "a=3, with a comma"),
        field("server", "the guest's own"),
        field("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        field("x-odd", odd_bytes()),
        field("x-empty", ""),
        field("x-long", vec![b'l'; 6000]),
    ];
    fields.extend((0..70).map(|number| field(&format!("x-many-{number}"), number.to_string())));
    let mut steps = String::new();
    for (name, value) in &fields {
        write!(steps, "header:{name}={},", hex(value)).expect("a string takes everything");
    }
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let target = variant.steps(&format!("{steps}head,list-refused,finish"));
            let reply = front.get(&target).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(reply.text(), "", "none was refused");
            unchanged(&fields, &reply.headers);
        }
    }
}

#[tokio::test]
async fn what_concerns_the_connection_is_not_the_guests_to_say() {
    let wharf = variants::all("").await;
    let theirs = hex(b"x-theirs");
    let names = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ];
    let steps: String = names.iter().fold(String::new(), |steps, name| {
        format!("{steps}header:{name}={theirs},")
    });
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let target = variant.steps(&format!("{steps}head,list-refused,finish"));
            let reply = front.get(&target).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(reply.text(), names.join(","), "the guest is told so");
            for name in names {
                let values = of(&reply.headers, name);
                assert!(!values.contains(&b"x-theirs".to_vec()), "{name}: {reply:?}");
            }
            // the connection is as good as before
            assert_eq!(front.get(&target).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_headers_value_cannot_begin_another_header() {
    let wharf = variants::all("").await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let split = hex(b"innocent\r\nx-injected: 1");
            let null = hex(b"a\0b");
            let steps =
                format!("header:x-split={split},header:x-null={null},head,list-refused,finish");
            let reply = front.get(&variant.steps(&steps)).await;
            assert_eq!(reply.text(), "x-split,x-null", "the guest is told so");
            for name in ["x-split", "x-null", "x-injected"] {
                assert!(of(&reply.headers, name).is_empty(), "{reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_response_has_one_request_id_whatever_the_guest_says() {
    let wharf = variants::all("").await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let mine = hex(b"the-guests-own");
            let steps = format!(
                "header:x-request-id={mine},header:x-request-id={mine},head,write:10,finish"
            );
            let mut request = front.request(Method::GET, &variant.steps(&steps), whole(""));
            let id = HeaderValue::from_static("the-clients-own");
            request.headers_mut().insert("x-request-id", id);
            let reply = front.client.send(request).await;
            assert_eq!(of(&reply.headers, "x-request-id"), [b"the-clients-own"]);
        }
    }
}
