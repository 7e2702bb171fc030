//! The secret that the API asks for: whoever can read the data directory is the operator.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::deploy::hex;

/// The file's name in the data directory.
pub const FILE: &str = "admin.token";

/// The token, of which only the hash is kept: it can't be shown by mistake, and a comparison takes the
/// same time however much of a guess is right.
pub struct Token([u8; 32]);

impl Token {
    /// The token of a data directory, made if there is none.
    ///
    /// # Errors
    ///
    /// It can be neither read nor made, or is empty.
    pub fn of(data: &Path) -> Result<Self> {
        let file = data.join(FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&file)?,
            Err(error) => return Err(error).with_context(|| unreadable(&file)),
        };
        if text.trim().is_empty() {
            bail!(
                "{} is empty; remove it, and a new one is made",
                file.display()
            );
        }
        let mode = fs::metadata(&file)
            .with_context(|| unreadable(&file))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            warn!(file = %file.display(), "others on this machine can read the admin token; chmod 600 it");
        }
        Ok(Self::from(text.trim()))
    }

    /// Whether this is it.
    pub fn is(&self, text: &str) -> bool {
        Self::from(text).0 == self.0
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

/// 256 random bits, for the owner alone. Another process that starts on the same directory at this
/// moment can't get in between: the file is whole when it gets its name.
fn make(file: &Path) -> Result<String> {
    let text = hex(&rand::random::<[u8; 32]>());
    let draft: PathBuf = file.with_extension("token.new");
    let write = || {
        // what a process before left is of no use
        let _ = fs::remove_file(&draft);
        let mut open = OpenOptions::new();
        let mut opened = open.write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(opened, "{text}")?;
        opened.sync_all()?;
        fs::rename(&draft, file)
    };
    write().with_context(|| format!("{} can't be made", file.display()))?;
    Ok(text)
}

fn unreadable(file: &Path) -> String {
    format!("{} can't be read", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_owner() {
        let data = tempfile::tempdir().unwrap();
        let token = Token::of(data.path()).unwrap();
        let file = data.path().join(FILE);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.trim().len(), 64);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(token.is(text.trim()));
        assert!(Token::of(data.path()).unwrap().is(text.trim()));
        assert!(!token.is("") && !token.is(&text));
    }

    #[test]
    fn an_operator_may_choose_it_but_not_leave_it_empty() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), "  chosen\n").unwrap();
        assert!(Token::of(data.path()).unwrap().is("chosen"));
        fs::write(data.path().join(FILE), "\n").unwrap();
        let error = Token::of(data.path()).err().unwrap();
        assert!(error.to_string().contains("is empty"));
    }
}
