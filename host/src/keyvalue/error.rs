use super::limits::{
    MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, MAX_BUCKET_NAME_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES,
};

/// Why an operation on a store failed. Messages name buckets but never keys or values, which may
/// be secrets, so they can go to logs and to guests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// No bucket can have that name.
    #[error(
        "{name:?} is no bucket name: it takes 1 to {MAX_BUCKET_NAME_BYTES} of the characters \
         A-Z a-z 0-9 . _ - and begins with a letter or a digit"
    )]
    InvalidBucketName {
        /// The name as it was given, cut if it is long.
        name: String,
    },
    /// Keys have at least one byte.
    #[error("the key is empty: keys have 1 to {MAX_KEY_BYTES} bytes")]
    KeyEmpty,
    /// The key is longer than [`MAX_KEY_BYTES`].
    #[error("the key has {length} bytes: keys have 1 to {MAX_KEY_BYTES} bytes")]
    KeyTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The value is longer than [`MAX_VALUE_BYTES`].
    #[error("the value has {length} bytes: values have at most {MAX_VALUE_BYTES} bytes")]
    ValueTooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// A batch has more than [`MAX_BATCH_ENTRIES`] entries, or holds or would return more than
    /// [`MAX_BATCH_BYTES`].
    #[error(
        "the batch is too large: split it into batches of at most {MAX_BATCH_ENTRIES} entries \
         and {MAX_BATCH_BYTES} bytes"
    )]
    BatchTooLarge,
    /// The value to be incremented is not the decimal text of a 64-bit signed integer.
    #[error("the value is not a decimal number of 64 bits, so it can't be incremented")]
    NotANumber,
    /// The sum doesn't fit 64 bits, signed.
    #[error("the sum doesn't fit a signed number of 64 bits")]
    Overflow,
    /// The store is closed: the host is shutting down.
    #[error("the key-value store is closed")]
    Closed,
    /// The store can't do it now. Nothing was changed; trying again later may help.
    #[error("the key-value store is unavailable: {reason}")]
    Unavailable {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// The store failed at the very moment of making a write durable, so that nobody can say
    /// whether it happened. It is all there or not at all, and a later read tells.
    #[error("it is unknown whether the write happened: {reason}")]
    OutcomeUnknown {
        /// What is wrong, for the operator.
        reason: String,
    },
}
