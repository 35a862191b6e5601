//! From a kubeconfig or a pod's service account to a client: one HTTP/2 connection that carries all
//! watches, and that notices by PINGs when the API server has gone without a word.

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use ringway_core::time::Duration;
use rustls::pki_types::ServerName;
use tower::{BoxError, ServiceBuilder};

use super::api::Access;
use super::failure::{Failure, chain};

/// A TCP connect.
const CONNECT: Duration = Duration::from_secs(2);
/// After so long without a word the connection is asked for one, and given up when none comes.
/// Together they are below the sixth repetition of a lost segment (6.2 s): of a connection that is
/// kept, the next one is never more than 3.2 s away when the way is free again.
const ASK: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(2);
/// A connection that nobody uses: HTTP/1.1 to a server without HTTP/2.
const IDLE: Duration = Duration::from_secs(90);

/// A client for the API server. Blocks: files are read, and a kubeconfig may name a program that
/// makes the token. Has to be called within the runtime.
///
/// # Errors
/// Why there is no way to the API server.
pub(crate) fn client(access: &Access) -> Result<Client, Failure> {
    // Without one of our own, rustls would have to guess between the providers that are linked.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = config(access)?;
    if let Some(proxy) = &config.proxy_url {
        return Err(Failure::Access(format!(
            "the proxy {proxy} of the kubeconfig is not supported"
        )));
    }
    let namespace = config.default_namespace.clone();
    let auth = config.auth_layer().map_err(|error| no_access(&error))?;
    let headers = config.extra_headers_layer().map_err(|error| no_access(&error))?;
    let http = Http::builder(TokioExecutor::new())
        .http2_keep_alive_interval(ASK)
        .http2_keep_alive_timeout(ANSWER)
        .http2_keep_alive_while_idle(true)
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build::<_, Body>(connector(&config)?);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(auth)
        .layer(headers)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, namespace))
}

fn connector(config: &Config) -> Result<HttpsConnector<HttpConnector>, Failure> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    // HTTP/1.1 has no PING.
    tcp.set_keepalive(Some(ASK));
    tcp.set_keepalive_interval(Some(ANSWER / 2));
    tcp.set_keepalive_retries(Some(2));
    let tls = config.rustls_client_config().map_err(|error| no_access(&error))?;
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone()).map_err(|error| no_access(&error))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_all_versions().wrap_connector(tcp))
}

/// As kubectl finds it; in a pod without a kubeconfig it is the service account.
fn config(access: &Access) -> Result<Config, Failure> {
    let runtime = tokio::runtime::Handle::current();
    let options =
        KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &access.kubeconfig {
        let said = |why: &dyn std::error::Error| {
            Failure::Access(format!("{}: {}", path.display(), chain(why)))
        };
        let read = Kubeconfig::read_from(path).map_err(|error| said(&error))?;
        let config = runtime.block_on(Config::from_custom_kubeconfig(read, &options));
        return config.map_err(|error| said(&error));
    }
    let is_set = |name| std::env::var_os(name).is_some();
    let in_pod = is_set("KUBERNETES_SERVICE_HOST") && !is_set("KUBECONFIG");
    if in_pod && access.context.is_none() {
        return Config::incluster().map_err(|error| no_access(&error));
    }
    runtime.block_on(Config::from_kubeconfig(&options)).map_err(|error| no_access(&error))
}

fn no_access(error: &dyn std::error::Error) -> Failure {
    Failure::Access(chain(error))
}
