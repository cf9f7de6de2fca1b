//! What may be said in the clear: secrets stay on this machine unless it is said otherwise.
//!
//! Must not know what is said to a server.

use std::net::IpAddr;

use http::Uri;

/// A secret would go over the network for everybody to read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{flag} {url}: a secret would cross the network in the clear: say https://, or --insecure where you trust the network"
)]
pub struct Exposed {
    flag: &'static str,
    url: Uri,
}

/// Whether a secret may be sent to the server that this flag names.
pub fn allow(flag: &'static str, url: &Uri, insecure: bool) -> Result<(), Exposed> {
    let is_secure = url.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    if is_secure || insecure || url.host().is_some_and(is_loopback) {
        return Ok(());
    }
    Err(Exposed { flag, url: url.clone() })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, insecure: bool, expected: bool) {
        let url = url.parse().unwrap();
        assert_eq!(allow("--server", &url, insecure).is_ok(), expected, "{url}");
    }

    #[test]
    fn a_secret_leaves_the_machine_only_over_tls_or_where_it_is_said() {
        for here in ["127.0.0.1:7700", "127.9.9.9", "localhost", "LOCALHOST:1", "[::1]:7700"] {
            check(&format!("http://{here}"), false, true);
        }
        for there in
            ["10.0.0.1:7700", "admin", "localhost.example:7700", "127.0.0.1.example", "[::2]:1"]
        {
            check(&format!("http://{there}"), false, false);
            check(&format!("http://{there}"), true, true);
            check(&format!("https://{there}"), false, true);
        }
        check("http://127.0.0.1@evil.example/", false, false);
    }
}
