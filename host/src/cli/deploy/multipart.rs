//! The upload, as `multipart/form-data` (RFC 7578).

use super::super::client::Upload;
use crate::config::ServiceName;

/// A component and perhaps a manifest.
pub(super) struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// The form for a service.
    pub(super) fn new(name: &ServiceName, component: &[u8], manifest: Option<&str>) -> Self {
        // as many bits as a UUID: no file has it by accident, and none can be made to
        let boundary = format!("wharf-{:032x}", rand::random::<u128>());
        let mut form = Self {
            boundary,
            body: Vec::with_capacity(component.len() + 1024),
        };
        if let Some(manifest) = manifest {
            form.part("name=\"manifest\"", "application/toml", manifest.as_bytes());
        }
        let disposition = format!("name=\"component\"; filename=\"{name}.wasm\"");
        form.part(&disposition, "application/wasm", component);
        form.body
            .extend_from_slice(format!("--{}--\r\n", form.boundary).as_bytes());
        form
    }

    fn part(&mut self, disposition: &str, kind: &str, bytes: &[u8]) {
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n",
            self.boundary
        );
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(bytes);
        self.body.extend_from_slice(b"\r\n");
    }
}

impl From<Form> for Upload {
    fn from(form: Form) -> Self {
        Self {
            kind: format!("multipart/form-data; boundary={}", form.boundary),
            bytes: form.body.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_both_parts_between_its_boundaries() {
        let name = ServiceName::parse("login").unwrap();
        let form = Form::new(&name, b"\0asm\r\n--", Some("[limits]\n"));
        let boundary = form.boundary.clone();
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"manifest\"\r\n\
             Content-Type: application/toml\r\n\r\n[limits]\n\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"component\"; filename=\"login.wasm\"\r\n\
             Content-Type: application/wasm\r\n\r\n\0asm\r\n--\r\n--{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(form.body).unwrap(), expected);
    }

    #[test]
    fn no_two_forms_have_the_same_boundary() {
        let name = ServiceName::parse("login").unwrap();
        let boundary = || Form::new(&name, b"", None).boundary;
        assert_ne!(boundary(), boundary());
    }
}
