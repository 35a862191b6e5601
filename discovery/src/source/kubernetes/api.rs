//! The connection to an API server: where it is, who we are, and one request at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use ringway_config::Kubernetes;
use ringway_core::time::Duration;
use tokio::time::timeout;

use super::connect;
use super::failure::{Failure, chain};
use super::presence::Presence;

/// From a request to the head of its answer: a watch is answered at once.
const HEAD: Duration = Duration::from_secs(5);
/// The same for a list, which is gathered first.
const LIST: Duration = Duration::from_secs(30);
/// The same for a look whether anybody is there.
const LOOK: Duration = Duration::from_secs(2);
/// The most bytes of an answer that is read whole.
const MOST_WHOLE: usize = 8 << 20;

/// Where the API server is, and as whom to speak to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Access {
    /// A kubeconfig; `None` is `KUBECONFIG`, else the pod's service account, else `~/.kube/config`.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// A context of it; `None` is the current one.
    pub(crate) context: Option<String>,
}

impl From<&Kubernetes> for Access {
    fn from(settings: &Kubernetes) -> Self {
        Self { kubeconfig: settings.kubeconfig.clone(), context: settings.context.clone() }
    }
}

/// An API server.
pub(crate) struct Api {
    access: Access,
    client: Mutex<Option<Client>>,
    /// Whether streaming lists have been refused.
    no_streaming: AtomicBool,
    presence: Presence,
}

/// What is asked for, as far as it matters for how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The answer is there at once.
    Short,
    /// The answer has to be gathered.
    Long,
    /// It is only asked whether there is one.
    Look,
}

impl Api {
    pub(crate) fn new(access: Access) -> Self {
        let no_streaming = AtomicBool::new(false);
        Self { access, client: Mutex::new(None), no_streaming, presence: Presence::new() }
    }

    /// What is believed about whether it is there.
    pub(crate) const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Whether lists may be asked for as a stream.
    pub(crate) fn streams(&self) -> bool {
        !self.no_streaming.load(Ordering::Relaxed)
    }

    /// The API server has refused to stream; whether that is news.
    pub(crate) fn stop_streaming(&self) -> bool {
        !self.no_streaming.swap(true, Ordering::Relaxed)
    }

    /// Reads the credentials anew before the next request.
    pub(crate) fn forget(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends a request; the body of its answer, if that is a good one.
    ///
    /// # Errors
    /// When there is no answer in time, and any answer but 2xx and 304.
    pub(crate) async fn open(
        &self,
        request: Request<Vec<u8>>,
        wait: Wait,
    ) -> Result<Answer, Failure> {
        let client = self.client().await?;
        let limit = match wait {
            Wait::Short => HEAD,
            Wait::Long => LIST,
            Wait::Look => LOOK,
        };
        let sent = client.send(request.map(Body::from));
        let response = match timeout(limit, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Failure::Unreachable(chain(&error))),
            Err(_) => {
                return Err(Failure::Unreachable(format!("no answer within {limit:?}")));
            }
        };
        let (head, body) = response.into_parts();
        let mut answer = Answer { head, body };
        let status = answer.head.status;
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            self.presence.answered();
            return Ok(answer);
        }
        let said = answer.whole().await.unwrap_or_default();
        Err(Failure::of_answer(status, &answer.head.headers, &said))
    }

    async fn client(&self) -> Result<Client, Failure> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let access = self.access.clone();
        let client = tokio::task::spawn_blocking(move || connect::client(&access)).await;
        let client = client.map_err(|error| Failure::Access(error.to_string()))??;
        let mut known = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.get_or_insert(client).clone())
    }
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    body: Body,
}

impl Answer {
    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// When none come in time, or the connection breaks.
    pub(crate) async fn next(&mut self, limit: Duration) -> Result<Option<Bytes>, Failure> {
        loop {
            match timeout(limit, self.body.frame()).await {
                Err(_) => return Err(Failure::Unreachable(format!("silent for {limit:?}"))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Failure::Unreachable(chain(&error))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::next`], and when it is longer than 8 MiB.
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next(HEAD).await? {
            whole.extend_from_slice(&bytes);
            if whole.len() > MOST_WHOLE {
                return Err(Failure::Malformed(String::from("an answer of more than 8 MiB")));
            }
        }
        Ok(whole)
    }
}
