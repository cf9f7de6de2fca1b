//! Certificates: what is taken, what is refused, what stays.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// A folder with the files of a listener.
struct Folder {
    folder: TempDir,
    files: Files,
}

impl Folder {
    fn new() -> Self {
        install_provider();
        let folder = tempfile::tempdir().unwrap();
        let at = |name| folder.path().join(name);
        let files = Files { certificate: at("cert.pem"), key: at("key.pem"), client_ca: None };
        Self { folder, files }
    }

    fn write_certificate(&self, key: &KeyPair, until: i32) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 7, 1);
        fs::write(&self.files.certificate, params.self_signed(key).unwrap().pem()).unwrap();
    }

    fn write_key(&self, key: &KeyPair) {
        fs::write(&self.files.key, key.serialize_pem()).unwrap();
        self.allow(0o640);
    }

    fn allow(&self, mode: u32) {
        fs::set_permissions(&self.files.key, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn write_pair(&self, until: i32) {
        let key = KeyPair::generate().unwrap();
        self.write_certificate(&key, until);
        self.write_key(&key);
    }

    fn load(&self) -> Result<Certificate, Error> {
        Certificate::load("http", self.files.clone(), HTTP)
    }

    async fn refused(&self, certificate: &Certificate, because: &str) {
        let before = certificate.loaded();
        let error = certificate.reload().await.unwrap_err().to_string();
        assert!(error.contains(because), "{error}");
        assert!(Arc::ptr_eq(&before, &certificate.loaded()), "the old one stays: {error}");
    }
}

fn year(certificate: &Certificate) -> i64 {
    1970 + certificate.not_after().as_micros() / 1_000_000 / 31_556_952
}

#[tokio::test]
async fn a_pair_is_replaced_and_a_bad_one_is_refused() {
    let folder = Folder::new();
    folder.write_pair(2100);
    let certificate = folder.load().unwrap();
    assert_eq!(year(&certificate), 2100);
    assert_eq!(certificate.reload().await.unwrap(), Reload::Unchanged);
    folder.write_pair(2101);
    assert_eq!(certificate.reload().await.unwrap(), Reload::Replaced);
    assert_eq!(year(&certificate), 2101);

    folder.write_certificate(&KeyPair::generate().unwrap(), 2102);
    folder.refused(&certificate, "cannot be used with the key").await;
    folder.write_pair(2001);
    folder.refused(&certificate, "has expired").await;
    fs::write(&folder.files.certificate, "no certificate").unwrap();
    folder.refused(&certificate, "there is no certificate in").await;
    folder.write_pair(2103);
    fs::write(&folder.files.key, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    folder.refused(&certificate, "there is no private key in").await;
    folder.write_pair(2103);
    folder.allow(0o644);
    folder.refused(&certificate, "run `chmod o=").await;
    fs::remove_file(&folder.files.key).unwrap();
    folder.refused(&certificate, "cannot read").await;

    folder.write_pair(2104);
    assert_eq!(certificate.reload().await.unwrap(), Reload::Replaced);
    assert_eq!(year(&certificate), 2104);
}

#[tokio::test]
async fn a_start_with_an_expired_certificate_is_told_and_goes_on() {
    let folder = Folder::new();
    folder.write_pair(2001);
    assert_eq!(year(&folder.load().unwrap()), 2001);
}

#[tokio::test]
async fn files_that_cannot_be_used_stop_the_start() {
    let folder = Folder::new();
    let check = |folder: &Folder, because: &str| {
        let error = folder.load().unwrap_err().to_string();
        assert!(error.contains(because), "{error}");
        assert!(!error.contains("PRIVATE KEY"), "{error}");
    };
    check(&folder, "cannot read");
    folder.write_pair(2100);
    folder.allow(0o604);
    check(&folder, "run `chmod o=");
    let path = folder.folder.path().join("ca.pem");
    fs::write(&path, "nothing").unwrap();
    folder.allow(0o600);
    let with_ca = Files { client_ca: Some(path), ..folder.files.clone() };
    check(&Folder { files: with_ca, ..folder }, "there is no certificate in");
}

#[test]
fn files_that_belong_together_are_given_together() {
    let path = Path::new("x.pem");
    let given = |certificate, key, ca| Files::given("grpc", certificate, key, ca);
    assert_eq!(given(None, None, None).unwrap(), None);
    assert!(given(Some(path), Some(path), Some(path)).unwrap().is_some());
    for half in [(Some(path), None, None), (None, Some(path), None), (None, None, Some(path))] {
        let error = given(half.0, half.1, half.2).unwrap_err().to_string();
        assert!(error.contains("--grpc-tls-cert and --grpc-tls-key"), "{error}");
    }
}
