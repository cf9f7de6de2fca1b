//! The trace of a request for an alert: read from the request, told to a collector.
//!
//! What is set here leaves the installation: method, status and ids, never a header, a query, a
//! payload or where it comes from. Must not know who collects.

use http::{HeaderMap, Method, StatusCode, request};
use runtime::traces::{Kind, Span, Tracer};
use wire::{Traceparent, header};

/// Starts the span of a request for this route. What its sender has sampled counts only where it is
/// admitted: others would decide how much is told to the collector.
pub fn start(
    tracer: &Tracer,
    head: &request::Parts,
    route: impl FnOnce() -> String,
    admitted: impl FnOnce() -> bool,
) -> Span {
    let method = method(&head.method);
    let parent = traceparent(&head.headers);
    if !tracer.is_on() {
        return tracer.start("", Kind::Server, parent);
    }
    let parent = parent.filter(|parent| !parent.is_sampled() || admitted());
    let route = route();
    let mut span = tracer.start(format!("{method} {route}"), Kind::Server, parent);
    span.set("http.request.method", || method);
    span.set("http.route", || route);
    span
}

/// Tells how it was answered; a problem by its code.
pub fn answered(span: &mut Span, status: StatusCode, problem: Option<&'static str>) {
    span.set("http.response.status_code", || i64::from(status.as_u16()));
    if let Some(code) = problem {
        span.set("error.type", || code);
        if status.is_server_error() {
            span.fail(code);
        }
    }
}

/// Where the sender stands in a trace; none where it does not say so in one well-formed header.
fn traceparent(headers: &HeaderMap) -> Option<Traceparent> {
    let mut values = headers.get_all(header::TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    Traceparent::parse(value.to_str().ok()?)
}

/// A method that is not one of the usual is whatever the client wrote: it is not told.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_header_is_read_and_two_are_none() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut headers = HeaderMap::new();
        assert_eq!(traceparent(&headers), None);
        headers.insert("Traceparent", HeaderValue::from_static(good));
        assert_eq!(traceparent(&headers), Traceparent::parse(good));
        headers.append("traceparent", HeaderValue::from_static(good));
        assert_eq!(traceparent(&headers), None);
        headers.insert("traceparent", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(traceparent(&headers), None);
    }

    #[test]
    fn a_method_that_the_client_made_up_is_not_told() {
        assert_eq!(method(&Method::PUT), "PUT");
        assert_eq!(method(&"SECRET".parse().unwrap()), "_OTHER");
    }
}
