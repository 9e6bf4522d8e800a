//! Admission control: when too many requests are under way, reads are shed before anything that ends a token's life.
//!
//! Guarantee: low-priority requests can never take the places kept for high-priority ones. Nothing waits in a queue:
//! a request is admitted or refused at once, because a client that has given up must not be worked for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::refuse::{Reason, Refuse};

/// How important a request is when not all can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Shed first: reads.
    Low,
    /// Shed last: mutations, above all revocations.
    High,
    /// Never shed and never counted: probes and metrics.
    Always,
}

/// How many requests may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// In all.
    pub requests_max: usize,
    /// Of low priority; the rest is kept for high priority.
    pub requests_low_max: usize,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self { requests_max: 1_024, requests_low_max: 512 }
    }
}

/// The places there are. Clones share them.
#[derive(Debug, Clone)]
pub struct Admission {
    all: Arc<Semaphore>,
    low: Arc<Semaphore>,
}

impl Admission {
    /// With all places free.
    #[must_use]
    pub fn new(config: AdmissionConfig) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.requests_max)),
            low: Arc::new(Semaphore::new(config.requests_low_max.min(config.requests_max))),
        }
    }

    /// A place for one request, or `None` when it has to be shed.
    #[must_use]
    pub fn enter(&self, priority: Priority) -> Option<Permit> {
        let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let places = match priority {
            Priority::Always => [None, None],
            Priority::High => [Some(take(&self.all)?), None],
            Priority::Low => [Some(take(&self.low)?), Some(take(&self.all)?)],
        };
        Some(Permit(Arc::new(Mutex::new(places))))
    }

    /// A tower layer that sheds by `classify`.
    #[must_use]
    pub const fn layer<C, R>(self, classify: C, refuse: R) -> AdmissionLayer<C, R> {
        AdmissionLayer { admission: self, classify, refuse }
    }
}

/// A place that is taken, until the response begins. It is in the request's extensions: a handler that begins a long
/// wait gives it back early, so that those who wait do not keep out those who work.
#[derive(Debug, Clone)]
pub struct Permit(Arc<Mutex<[Option<OwnedSemaphorePermit>; 2]>>);

impl Permit {
    /// Gives the place back, once; also through any clone.
    pub fn release(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = [None, None];
    }
}

/// See [`Admission::layer`].
#[derive(Debug, Clone)]
pub struct AdmissionLayer<C, R> {
    admission: Admission,
    classify: C,
    refuse: R,
}

impl<S, C: Clone, R: Clone> Layer<S> for AdmissionLayer<C, R> {
    type Service = AdmissionService<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        AdmissionService { inner, layer: self.clone() }
    }
}

/// A service behind admission control.
#[derive(Debug, Clone)]
pub struct AdmissionService<S, C, R> {
    inner: S,
    layer: AdmissionLayer<C, R>,
}

impl<S, C, R, In, Out> Service<Request<In>> for AdmissionService<S, C, R>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    C: Fn(&Request<In>) -> Priority,
    R: Refuse<Out>,
    Out: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        let Some(permit) = self.layer.admission.enter((self.layer.classify)(&request)) else {
            let response = self.layer.refuse.refuse(Reason::Overloaded);
            return Box::pin(async move { Ok(response) });
        };
        request.extensions_mut().insert(permit.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await;
            permit.release();
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Method, StatusCode};
    use http_body_util::Full;
    use tokio::sync::oneshot;
    use tower::ServiceExt;

    use super::*;
    use crate::serve::refuse_plain;

    const SMALL: AdmissionConfig = AdmissionConfig { requests_max: 3, requests_low_max: 2 };

    #[test]
    fn reads_are_shed_before_mutations() {
        let admission = Admission::new(SMALL);
        let reads: Vec<_> = (0..3).map(|_| admission.enter(Priority::Low)).collect();
        assert_eq!(reads.iter().flatten().count(), 2);
        let revocation = admission.enter(Priority::High);
        assert!(revocation.is_some());
        assert!(admission.enter(Priority::High).is_none());
        assert!(admission.enter(Priority::Always).is_some());
        drop(revocation);
        assert!(admission.enter(Priority::High).is_some());
    }

    #[test]
    fn mutations_may_take_every_place() {
        let admission = Admission::new(SMALL);
        let mut mutations: Vec<_> = (0..3).map(|_| admission.enter(Priority::High)).collect();
        assert!(mutations.iter().all(Option::is_some));
        assert!(admission.enter(Priority::Low).is_none());
        // What was refused has taken nothing.
        mutations.truncate(1);
        assert!([(); 2].iter().all(|()| admission.enter(Priority::Low).is_some()));
    }

    #[test]
    fn a_wait_gives_its_place_back_once() {
        let admission = Admission::new(AdmissionConfig { requests_max: 1, requests_low_max: 1 });
        let permit = admission.enter(Priority::High).unwrap();
        permit.clone().release();
        let other = admission.enter(Priority::High).unwrap();
        permit.release();
        assert!(admission.enter(Priority::High).is_none());
        drop(other);
    }

    #[tokio::test]
    async fn the_layer_sheds_and_recovers() {
        let (go, wait) = oneshot::channel::<()>();
        let wait = Arc::new(tokio::sync::Mutex::new(Some(wait)));
        let handler = tower::service_fn(move |request: Request<()>| {
            let wait = Arc::clone(&wait);
            async move {
                if request.uri().path() == "/wait"
                    && let Some(wait) = wait.lock().await.take()
                {
                    let _ = wait.await;
                }
                Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        let classify =
            |request: &Request<()>| if request.method() == Method::GET { Priority::Low } else { Priority::High };
        let places = AdmissionConfig { requests_max: 2, requests_low_max: 1 };
        let service = Admission::new(places).layer(classify, refuse_plain::<Full<Bytes>>).layer(handler);
        let status = |request: Request<()>| {
            let service = service.clone();
            async move { service.oneshot(request).await.unwrap().status() }
        };
        let read = || Request::get("/").body(()).unwrap();

        let waiting = tokio::spawn(service.clone().oneshot(Request::get("/wait").body(()).unwrap()));
        tokio::task::yield_now().await;
        assert_eq!(status(read()).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(Request::post("/").body(()).unwrap()).await, StatusCode::OK);
        go.send(()).unwrap();
        waiting.await.unwrap().unwrap();
        assert_eq!(status(read()).await, StatusCode::OK);
    }
}
