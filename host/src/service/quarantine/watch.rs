//! Is a request worth a closer look?
//!
//! To tell whether a request is one of those under suspicion ([`super::quarantine`]) takes a digest of
//! its body, which all the others should not pay for. A [`Watch`] knows the lines (method, path and
//! query) of the suspects, as a Bloom filter that is read without a lock: one atomic load while there
//! are none, one keyed hash and up to three loads more while there are. It may know a line too many,
//! never one too few.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use http::Method;
use sha2::{Digest, Sha256};

/// What tells one request from another. Made by [`Watch::fingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    line: u64,
    /// The first half of a SHA-256.
    digest: u128,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.digest)
    }
}

/// See the module.
pub struct Watch {
    suspects: AtomicUsize,
    bits: [AtomicU64; Self::WORDS],
    keys: RandomState,
}

impl Watch {
    const WORDS: usize = 64;

    /// Knows nothing. `keys` keep clients from choosing lines that look alike.
    pub(super) fn new(keys: RandomState) -> Self {
        Self {
            suspects: AtomicUsize::new(0),
            bits: std::array::from_fn(|_| AtomicU64::new(0)),
            keys,
        }
    }

    /// Whether nothing is under suspicion: then there is nothing to ask and nothing to report but a
    /// death.
    pub fn is_quiet(&self) -> bool {
        self.suspects.load(Ordering::Relaxed) == 0
    }

    /// Whether a request with this line may be under suspicion: if so its body is worth a digest.
    pub fn knows(&self, method: &Method, path_and_query: &str) -> bool {
        !self.is_quiet()
            && Self::places(self.line(method, path_and_query))
                .all(|(word, bit)| self.bits[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// The fingerprint of a request; `body` is all of its body, in whatever pieces.
    pub fn fingerprint<B: AsRef<[u8]>>(
        &self,
        method: &Method,
        path_and_query: &str,
        body: impl IntoIterator<Item = B>,
    ) -> Fingerprint {
        let mut hash = Sha256::new();
        for part in [method.as_str(), path_and_query] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        for piece in body {
            hash.update(piece);
        }
        let half = hash.finalize().into_iter().take(16);
        Fingerprint {
            line: self.line(method, path_and_query),
            digest: half.fold(0, |digest, byte| digest << 8 | u128::from(byte)),
        }
    }

    fn line(&self, method: &Method, path_and_query: &str) -> u64 {
        self.keys.hash_one((method.as_str(), path_and_query))
    }

    /// Three bits among 4096, from one hash.
    fn places(line: u64) -> impl Iterator<Item = (usize, u64)> {
        [0, 12, 24].into_iter().map(move |shift| {
            let word = (line >> shift) & 63;
            (
                usize::try_from(word).unwrap_or(0),
                1 << ((line >> (shift + 6)) & 63),
            )
        })
    }

    /// Knows these and no others.
    pub(super) fn publish<'a>(&self, suspects: impl ExactSizeIterator<Item = &'a Fingerprint>) {
        let count = suspects.len();
        let mut bits = [0; Self::WORDS];
        for suspect in suspects {
            for (word, bit) in Self::places(suspect.line) {
                bits[word] |= bit;
            }
        }
        for (word, bits) in self.bits.iter().zip(bits) {
            word.store(bits, Ordering::Relaxed);
        }
        self.suspects.store(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_fingerprint_do_not_run_into_one_another() {
        let watch = Watch::new(RandomState::new());
        let print =
            |target: &str, body: &str| watch.fingerprint(&Method::POST, target, [body]).digest;
        assert_ne!(print("/a", "b"), print("/ab", ""));
        assert_ne!(print("/a", "b"), print("/a", "c"));
        assert_eq!(
            print("/a", "bc"),
            watch.fingerprint(&Method::POST, "/a", ["b", "c"]).digest
        );
    }
}
