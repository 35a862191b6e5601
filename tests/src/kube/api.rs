//! JSON over plain HTTP: to the API server by way of `kubectl proxy`, and to etcd.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;

/// The API server as an administrator sees it.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// Where `kubectl proxy` listens.
    pub address: SocketAddr,
}

impl Api {
    /// GET `path`.
    ///
    /// # Errors
    /// Status and body of a refusal, or why there is no answer.
    pub fn get(self, path: &str) -> Result<Value, String> {
        ask(self.address, "GET", path, "", "")
    }

    /// Creates an object in the collection `path`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn create(self, path: &str, object: &Value) -> Result<Value, String> {
        ask(self.address, "POST", path, "application/json", &object.to_string())
    }

    /// Merges `change` into the object at `path`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn merge(self, path: &str, change: &Value) -> Result<Value, String> {
        ask(self.address, "PATCH", path, "application/merge-patch+json", &change.to_string())
    }

    /// Deletes the object at `path` at once.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn delete(self, path: &str) -> Result<Value, String> {
        let now = r#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}"#;
        ask(self.address, "DELETE", path, "application/json", now)
    }
}

/// One request on a connection of its own; the JSON of its answer, or null if it is not JSON.
///
/// # Errors
/// Status and body when it was refused, or why there is no answer.
pub fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    kind: &str,
    body: &str,
) -> Result<Value, String> {
    let mut client = Client::try_connect(address).map_err(|e| e.to_string())?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if !body.is_empty() {
        head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    }
    client.send(head + "\r\n" + body);
    let response = client.response_within(method, Duration::from_secs(30))?;
    if !(200..300).contains(&response.status) {
        return Err(format!("{method} {path}: {} {}", response.status, response.text()));
    }
    Ok(serde_json::from_slice(&response.body).unwrap_or_default())
}
