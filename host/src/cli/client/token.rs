//! Where the token comes from.

use std::fs;
use std::io;

use super::{Error, Options};

/// The token, and where it was found, for the message if it is the wrong one.
pub(super) struct Token {
    /// What is sent.
    pub(super) text: String,
    /// `WHARF_TOKEN`, or the name of a file.
    pub(super) source: String,
}

impl Token {
    /// The file that was named, else the variable, else the file in the data directory. A file is
    /// read each time: a host whose data directory was made anew has another token.
    pub(super) fn find(options: &Options, variable: Option<&str>) -> Result<Self, Error> {
        let variable = variable.filter(|text| !text.trim().is_empty());
        let (text, source) = match (&options.token_file, variable) {
            (None, Some(text)) => (text.to_owned(), "WHARF_TOKEN".to_owned()),
            (named, _) => {
                let file = named
                    .clone()
                    .unwrap_or_else(|| options.data.join("admin.token"));
                let source = file.display().to_string();
                match fs::read_to_string(&file) {
                    Ok(text) => (text, source),
                    Err(cause) => return Err(unreadable(&source, named.is_some(), cause)),
                }
            }
        };
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Token {
                what: format!("{source} holds no token"),
                advice: "a host writes one at its next start if the file is removed before",
                cause: None,
            });
        }
        let text = text.to_owned();
        Ok(Self { text, source })
    }
}

fn unreadable(file: &str, named: bool, cause: io::Error) -> Error {
    let missing = cause.kind() == io::ErrorKind::NotFound;
    let (what, advice) = match (missing, named) {
        (true, true) => (
            format!("there is no {file}"),
            "--token-file has to name the admin.token of the host's data directory",
        ),
        (true, false) => (
            format!("there is no {file}"),
            "--data names the host's data directory, --token-file the file itself, and WHARF_TOKEN holds the token of a \
             host elsewhere",
        ),
        (false, _) => (
            format!("{file} can't be read"),
            "it belongs to the user that the host runs as; be that user",
        ),
    };
    let cause = (!missing).then_some(cause);
    Error::Token {
        what,
        advice,
        cause,
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn options(data: &Path, token_file: Option<PathBuf>) -> Options {
        Options {
            admin: "127.0.0.1:9090".parse().unwrap(),
            data: data.to_owned(),
            token_file,
        }
    }

    #[test]
    fn what_was_named_wins_over_the_variable_and_that_over_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let named = directory.path().join("named");
        fs::write(directory.path().join("admin.token"), "kept\n").unwrap();
        fs::write(&named, " named ").unwrap();
        let find =
            |file, variable| Token::find(&options(directory.path(), file), variable).unwrap();
        assert_eq!(find(None, None).text, "kept");
        assert_eq!(find(None, Some("")).text, "kept");
        assert_eq!(find(None, Some("variable")).text, "variable");
        assert_eq!(find(Some(named), Some("variable")).text, "named");
    }

    #[test]
    fn a_token_that_can_not_be_had_is_explained() {
        let directory = tempfile::tempdir().unwrap();
        let error = |file| {
            let options = options(directory.path(), file);
            Token::find(&options, None).err().unwrap().to_string()
        };
        assert!(error(None).contains("--data names"), "{}", error(None));
        fs::write(directory.path().join("admin.token"), "\n").unwrap();
        assert!(error(None).contains("holds no token"), "{}", error(None));
        let missing = error(Some("no/such".into()));
        assert!(
            missing.starts_with("there is no no/such: --token-file has to"),
            "{missing}"
        );
    }

    #[test]
    fn a_token_never_breaks_out_of_its_header() {
        let directory = tempfile::tempdir().unwrap();
        let found = Token::find(&options(directory.path(), None), Some("a\r\nX: b"));
        assert!(found.is_err());
    }
}
