//! What stands before the router: `/auth` is asked with every request of everybody behind the proxy, and is answered
//! without one. Nothing else is different about it, and everything else goes to the router.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
    routing::future::RouteFuture,
};
use jeton_host::serve::{Peer, RequestBody};
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    Edge, auth,
    observe::{self, Asked},
};

/// The service of a sidecar.
#[derive(Clone)]
pub(super) struct Front {
    edge: Edge,
    /// Whether anybody reads what is logged.
    logged: bool,
    others: Router,
}

impl Front {
    /// `others` answers for all paths but those of `/auth`.
    pub(super) fn new(edge: Edge, others: Router) -> Self {
        Self { edge, logged: observe::wanted(), others }
    }

    fn auth(&self, route: &'static str, request: Request<RequestBody>) -> Answering {
        let asked = self.logged.then(|| Asked::now(request.method()));
        let log = move |response: &Response<Body>| {
            if let Some(asked) = asked {
                asked.answered(route, response);
            }
        };
        if let Some(response) = auth::answer_now(&self.edge, &request) {
            log(&response);
            return Answering::Now { response: Some(response) };
        }
        let edge = self.edge.clone();
        let answer = Box::pin(async move {
            let response = auth::answer(&edge, &request).await;
            log(&response);
            response
        });
        Answering::Later { answer }
    }
}

/// Under which route `/auth` is asked here: any path below it will do. Envoy asks for `/auth/` when its client asks
/// for `/`.
fn route(path: &str) -> Option<&'static str> {
    match path.strip_prefix("/auth")? {
        "" => Some("/auth"),
        "/" => Some("/auth/"),
        below if below.starts_with('/') => Some("/auth/{*below}"),
        _ => None,
    }
}

impl Service<Request<RequestBody>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Answering {
        if let Some(route) = route(request.uri().path()) {
            return self.auth(route, request);
        }
        Answering::Routed { answer: self.others.call(Peer::extend(request)) }
    }
}

pin_project! {
    /// An answer on its way.
    #[project = AnsweringProjected]
    pub(super) enum Answering {
        Now { response: Option<Response<Body>> },
        Later { answer: Pin<Box<dyn Future<Output = Response<Body>> + Send>> },
        Routed { #[pin] answer: RouteFuture<Infallible> },
    }
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            // Taken once: whoever polls what is over waits for ever.
            AnsweringProjected::Now { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            AnsweringProjected::Later { answer } => answer.as_mut().poll(cx).map(Ok),
            AnsweringProjected::Routed { answer } => answer.poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_below_and_no_other() {
        for (path, expect) in [
            ("/auth", Some("/auth")),
            ("/auth/", Some("/auth/")),
            ("/auth//", Some("/auth/{*below}")),
            ("/auth/orders/7", Some("/auth/{*below}")),
            ("/auth/%2f..;x", Some("/auth/{*below}")),
            ("/authority", None),
            ("/auth%2f", None),
            ("/AUTH", None),
            ("//auth", None),
            ("/v1/auth", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(route(path), expect, "{path}");
        }
    }
}
