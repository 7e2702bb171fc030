//! Where a request goes, in the one form in which everything behind this module sees it. The URI's
//! scheme and authority are read by the same code as a grant, so a request can't name anything that
//! a grant couldn't, and what is compared is what is dialled.

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

use super::error::{Denial, NetworkError};
use super::reach::{Reach, is_localhost};
use crate::config::HttpGrant;
use crate::router::HostPattern;

/// The longest scheme and authority that are read: no name is longer than 253 characters, and what
/// is wrong with one goes to the log.
const MOST: usize = 300;

/// The origin of a request: scheme, host and port.
#[derive(Debug)]
pub(super) struct Origin {
    exact: HttpGrant,
    host: HostPattern,
    /// The canonical form of it, with `/` for a path.
    uri: Uri,
}

impl Origin {
    /// Reads the origin of `uri`; `https` if it names no scheme.
    ///
    /// # Errors
    ///
    /// [`NetworkError::UriInvalid`].
    pub(super) fn of(uri: &Uri) -> Result<Self, NetworkError> {
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        let scheme = uri.scheme_str().unwrap_or("https");
        if scheme.len() + authority.as_str().len() > MOST {
            return Err(invalid("its host is too long"));
        }
        // User information is refused by the grant, and not repeated
        let exact: HttpGrant = format!("{scheme}://{authority}")
            .parse()
            .map_err(|error| NetworkError::UriInvalid(format!("{error}")))?;
        let uri: Uri = format!("{exact}/")
            .parse()
            .map_err(|error| NetworkError::UriInvalid(format!("{error}")))?;
        let host: HostPattern = uri
            .host()
            .unwrap_or_default()
            .parse()
            .map_err(|error| NetworkError::UriInvalid(format!("{error}")))?;
        if matches!(host, HostPattern::Below(_)) {
            return Err(invalid("a wildcard is no host"));
        }
        Ok(Self { exact, host, uri })
    }

    /// How far the grants let a request to this origin reach. A grant for the very name says more
    /// than a wildcard, so it counts if there are both.
    ///
    /// # Errors
    ///
    /// [`Denial::NotGranted`].
    pub(super) fn reach(&self, grants: &[HttpGrant]) -> Result<Reach, Denial> {
        let exact = grants.contains(&self.exact);
        match &self.host {
            HostPattern::Ip(_) if exact => Ok(Reach::Literal),
            HostPattern::Name(name) if exact && is_localhost(name) => Ok(Reach::Localhost),
            HostPattern::Name(_) if exact => Ok(Reach::Name),
            HostPattern::Name(name) if grants.iter().any(|grant| self.is_below(grant, name)) => {
                Ok(Reach::Below)
            }
            _ => Err(Denial::NotGranted {
                origin: self.exact.to_string(),
            }),
        }
    }

    fn is_below(&self, grant: &HttpGrant, name: &str) -> bool {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        grant.allows(scheme, name, port(&self.uri))
    }

    /// The URI under which `uri` is sent to this origin.
    ///
    /// # Errors
    ///
    /// [`NetworkError::UriInvalid`] if the path isn't one: a target such as `http://b/` or `@b/`
    /// would be read by some servers as another host (RFC 9112, 3.2.2).
    pub(super) fn target(&self, uri: &Uri, asterisk: bool) -> Result<Uri, NetworkError> {
        let path =
            match uri.path_and_query() {
                None => PathAndQuery::from_static("/"),
                Some(path) if path.as_str().starts_with('/') => path.clone(),
                Some(path) if path.as_str() == "*" && asterisk => path.clone(),
                Some(path) if path.as_str().starts_with('?') => format!("/{}", path.as_str())
                    .parse()
                    .map_err(|error| NetworkError::UriInvalid(format!("{error}")))?,
                Some(_) => return Err(invalid("its path doesn't begin with a slash")),
            };
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|error| NetworkError::UriInvalid(format!("{error}")))
    }
}

/// The port of a canonical URI.
pub(super) fn port(uri: &Uri) -> u16 {
    let default = if uri.scheme() == Some(&Scheme::HTTP) {
        80
    } else {
        443
    };
    uri.port_u16().unwrap_or(default)
}

fn invalid(why: &str) -> NetworkError {
    NetworkError::UriInvalid(why.to_owned())
}
