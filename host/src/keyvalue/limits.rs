//! The limits that hold in every store, so that a guest that works on one works on all.

use super::KeyValueError;

/// Longest name of a bucket, in bytes.
pub const MAX_BUCKET_NAME_BYTES: usize = 64;
/// Longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;
/// Largest value, in bytes. NATS has the same limit by default.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// Most keys that one page of a listing has.
pub const MAX_PAGE_KEYS: usize = 1000;
/// Most entries that one batch may name.
pub const MAX_BATCH_ENTRIES: usize = 1000;
/// Most bytes of keys and values that one batch may carry, or return.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Whether a bucket can have that name: 1 to [`MAX_BUCKET_NAME_BYTES`] ASCII letters, digits,
/// dots, underscores and hyphens, the first of them a letter or a digit.
pub fn check_bucket_name(name: &str) -> Result<(), KeyValueError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let well_begun = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if well_begun && name.len() <= MAX_BUCKET_NAME_BYTES && name.bytes().all(allowed) {
        return Ok(());
    }
    // A guest chooses the name, and the message ends up in a log.
    let name = name.chars().take(MAX_BUCKET_NAME_BYTES + 1).collect();
    Err(KeyValueError::InvalidBucketName { name })
}

/// Whether a bucket can have that key: 1 to [`MAX_KEY_BYTES`] bytes of any text.
pub fn check_key(key: &str) -> Result<(), KeyValueError> {
    match key.len() {
        0 => Err(KeyValueError::KeyEmpty),
        length if length > MAX_KEY_BYTES => Err(KeyValueError::KeyTooLong { length }),
        _ => Ok(()),
    }
}

/// Whether a key can have that value: at most [`MAX_VALUE_BYTES`] bytes.
pub fn check_value(value: &[u8]) -> Result<(), KeyValueError> {
    match value.len() {
        length if length > MAX_VALUE_BYTES => Err(KeyValueError::ValueTooLarge { length }),
        _ => Ok(()),
    }
}

/// Whether one batch may have so many entries, with so many bytes in all.
pub fn check_batch(entries: usize, bytes: usize) -> Result<(), KeyValueError> {
    if entries > MAX_BATCH_ENTRIES || bytes > MAX_BATCH_BYTES {
        return Err(KeyValueError::BatchTooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_name_is_short_and_plain() {
        let longest = "x".repeat(MAX_BUCKET_NAME_BYTES);
        for name in ["a", "9", "users", "Users_2.old-copy", &longest] {
            assert_eq!(check_bucket_name(name), Ok(()), "{name}");
        }
        let too_long = format!("{longest}x");
        for name in [
            "", ".", "..", "-a", "_a", "a b", "a/b", "a\0b", "ä", &too_long,
        ] {
            assert!(check_bucket_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_refused_bucket_name_is_quoted_and_cut() {
        let message = check_bucket_name(&"\n".repeat(5000))
            .unwrap_err()
            .to_string();
        assert!(!message.contains('\n') && message.len() < 400, "{message}");
    }

    #[test]
    fn keys_are_measured_in_bytes() {
        assert_eq!(check_key(""), Err(KeyValueError::KeyEmpty));
        assert_eq!(check_key(&"é".repeat(MAX_KEY_BYTES / 2)), Ok(()));
        assert_eq!(
            check_key(&"é".repeat(MAX_KEY_BYTES / 2 + 1)),
            Err(KeyValueError::KeyTooLong {
                length: MAX_KEY_BYTES + 2
            })
        );
    }

    #[test]
    fn values_and_batches_have_an_upper_end() {
        assert_eq!(check_value(&vec![0; MAX_VALUE_BYTES]), Ok(()));
        assert_eq!(
            check_value(&vec![0; MAX_VALUE_BYTES + 1]),
            Err(KeyValueError::ValueTooLarge {
                length: MAX_VALUE_BYTES + 1
            })
        );
        assert_eq!(check_batch(MAX_BATCH_ENTRIES, MAX_BATCH_BYTES), Ok(()));
        assert_eq!(
            check_batch(MAX_BATCH_ENTRIES + 1, 0),
            Err(KeyValueError::BatchTooLarge)
        );
        assert_eq!(
            check_batch(1, MAX_BATCH_BYTES + 1),
            Err(KeyValueError::BatchTooLarge)
        );
    }
}
